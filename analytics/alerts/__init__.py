"""Whether somebody should be woken: rules, burn rates, incidents, silences."""
