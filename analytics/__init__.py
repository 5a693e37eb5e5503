"""Pure functions and small state machines, one concept a file: time and randomness are parameters. Begin with `fold` or `snapshot`."""
