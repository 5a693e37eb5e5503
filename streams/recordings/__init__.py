"""A log as a file: recorded, read by range, played again, verified."""
