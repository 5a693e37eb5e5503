"""All checks of `routecast doctor`, and those of InfluxDB and Grafana."""
