"""Off-policy evaluation: what another policy would have done with the logged requests. One concept a file; begin with `evaluate`."""
