"""Backtests: what is played, run by run, and what follows."""
