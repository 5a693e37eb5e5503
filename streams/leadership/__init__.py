"""Whoever leads: ticks, snapshots and details, plans and elections beside them, and how the next leader goes on."""
