"""What people at a terminal say to the log and read from it."""
