"""The conditions of a backtest as JUnit XML, for continuous integration."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, tostring

from routecast.models.backtest import Backtest, Check


def junit_xml(report: Backtest) -> str:
    """A test case for each condition; one that always passes where there is none, so that a run without conditions is seen too."""
    checks = report.checks or (Check(expression="ran", policy=report.policies[0].name, value=None, failed=False),)
    failed = sum(check.failed for check in checks)
    suite = Element("testsuite", name="routecast backtest", tests=str(len(checks)), failures=str(failed), errors="0", skipped="0")
    for check in checks:
        case = SubElement(suite, "testcase", classname=f"backtest.{_clean(report.source.name)}", name=_clean(f"{check.policy}: {check.expression}"))
        if check.failed:
            SubElement(case, "failure", message=_clean(f"{check.expression} is true: {check.value:.6g}")).text = _clean(f"{report.verdict}\n{report.command}")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{tostring(suite, encoding='unicode')}\n"


def _clean(text: str) -> str:
    """Without characters that XML does not know."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
