"""The sink: what is on the log, into InfluxDB."""
