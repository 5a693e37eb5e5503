"""Experiments: assignment to arms, what is counted of them, and statements that stay valid however often somebody looks."""
