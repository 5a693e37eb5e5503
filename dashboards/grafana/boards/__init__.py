"""The generator of the dashboards: `python -m routecast.dashboards.grafana.boards` writes them as JSON.

For development alone: it needs `grafana-foundation-sdk`, which the product does not. Each panel's query stands where the panel does.
"""
