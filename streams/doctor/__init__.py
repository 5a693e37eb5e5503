"""Checks of a set-up, each with a fix. Begin with `examination`; which checks there are says `routecast.dashboards.doctor.checks`."""
