"""What operators look at: `terminal` and `grafana`, the `sink` into InfluxDB with its `points`, the `report` of a backtest, the `doctor`."""
