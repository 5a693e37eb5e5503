from __future__ import annotations

import re

import pytest

from routecast.cli.render import show_rows


def test_names_are_whole_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """They are typed again: what gives way are the words beside them, none of which is lost either."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    show_rows(("target", "why not"), [("azure-gpt4o-westus-2", "costs much more than the cheapest of the others")], "table")
    shown = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert "azure-gpt4o-westus-2" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 40
