"""What the figures mean: changes, trends, alerts, recommendations, capacity. One concept a file; begin with `models/insights.py`."""
