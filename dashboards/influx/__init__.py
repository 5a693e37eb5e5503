"""InfluxDB: what is stored there, lines and how they get through, buckets and tokens."""
