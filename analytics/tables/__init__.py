"""Recordings and request logs as columns of tables."""
