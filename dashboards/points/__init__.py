"""Records of the log as points of InfluxDB."""
