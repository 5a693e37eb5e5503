"""Whether something is changing, since when, and where it goes: change detection, anomaly, trends."""
