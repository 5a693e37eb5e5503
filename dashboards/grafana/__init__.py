"""Grafana: dashboards as data of the package, alert rules from the thresholds of the configuration, provisioning, and what is checked of them."""
