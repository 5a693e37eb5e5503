"""Policies on recorded traffic: what a recording tells of its targets, the same requests under other policies, and how they compare."""
