"""Files by which Grafana sets itself up: where the data is, where the dashboards are, and the alert rules.

No contact points and no notification policies: those that are provisioned replace the whole tree of an organisation.
"""

from __future__ import annotations

from typing import Final

from routecast.dashboards.grafana.rules import FOLDER, SOURCE_UID, rule_groups
from routecast.dashboards.grafana.yaml_text import yaml_text
from routecast.models.config import Config

DASHBOARDS_IN: Final = "/etc/grafana/routecast"
"""Where Grafana looks for the dashboards unless it is told otherwise: mount `dashboards` there."""
VARIABLES: Final = ("INFLUX_URL", "INFLUX_ORGANISATION", "INFLUX_READ_TOKEN", "INFLUX_BUCKET")
"""Of Grafana's environment. The token is a secret, and addresses differ between containers and outside of them."""


def files(config: Config, dashboards_in: str = DASHBOARDS_IN) -> dict[str, str]:
    """Texts by their path below Grafana's `provisioning`."""
    return {
        "datasources/routecast.yaml": yaml_text(_source()),
        "dashboards/routecast.yaml": yaml_text(_provider(dashboards_in)),
        "alerting/routecast.yaml": yaml_text({"apiVersion": 1, "groups": rule_groups(config)}),
    }


def _source() -> dict[str, object]:
    url, organisation, token, bucket = (f"${{{name}}}" for name in VARIABLES)
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "routecast",
                "uid": SOURCE_UID,
                "type": "influxdb",
                "access": "proxy",
                "url": url,
                "jsonData": {"version": "Flux", "organization": organisation, "defaultBucket": bucket},
                "secureJsonData": {"token": token},
                "editable": False,
            }
        ],
    }


def _provider(dashboards_in: str) -> dict[str, object]:
    return {
        "apiVersion": 1,
        "providers": [
            {"name": "routecast", "folder": FOLDER, "type": "file", "disableDeletion": True, "allowUiUpdates": False, "options": {"path": dashboards_in}}
        ],
    }
