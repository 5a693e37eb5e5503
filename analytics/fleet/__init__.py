"""What all routers together know of the targets, put into a snapshot at each tick."""
