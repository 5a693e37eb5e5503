"""Virtual time and simulated providers: the worlds in which policies are compared, and the rules they are compared with."""
