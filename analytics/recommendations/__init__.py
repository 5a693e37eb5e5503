"""What should be done, as far as a simulation finds that it helps."""
