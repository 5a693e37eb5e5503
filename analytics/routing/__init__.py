"""What one router concludes by itself between two snapshots: candidates, limits, breakers, patience, who waits."""
