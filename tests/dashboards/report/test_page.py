from __future__ import annotations

import base64
import csv
import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from xml.etree.ElementTree import fromstring

import pytest

from routecast.dashboards.report.junit import junit_xml
from routecast.dashboards.report.page import backtest_page
from routecast.dashboards.report.svg import STYLE, escape
from routecast.models.backtest import Backtest, Difference, Fidelity, Noticed
from routecast.models.report import Estimate

MakeReport = Callable[[int, int], Backtest]


class _Tags(HTMLParser):
    """What a browser would make of a page: every start of an element with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(report: Backtest) -> str:
    """The report with hostile names."""
    return backtest_page(report)


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    """Elements of a page."""
    parser = _Tags()
    parser.feed(page)
    return parser.found


def test_a_page_is_well_formed_and_has_all_parts(page: str) -> None:
    """As XML too; every part of the report has its head."""
    root = fromstring(page)
    heads = ["".join(head.itertext()) for head in root.iter("h2")]
    assert heads == [
        "Two answers", "How far to believe it", "All metrics", "Who served", "Over time", "Troubles and alerts", "Failover", "Worst decisions", "Data quality",
        "Again",
    ]  # fmt: skip
    assert "Simulated: the recorded requests through whole routers" in page


def test_the_answer_comes_first(report: Backtest) -> None:
    """Before any table: the verdict, and every policy beside the first one in a sentence."""
    page = backtest_page(report)
    assert page.index(escape(report.verdict)) < page.index("5.00 times as long as policy-0") < page.index("<table")


def test_what_cannot_be_concluded_is_said(report: Backtest) -> None:
    """A difference within its interval, a simulation that is off, a recorded policy that was not played, and what every backtest leaves open."""
    close = Difference(name="b", to="a", mean=Estimate(value=1.1, low=0.95, high=1.25), p95=None, failed=None)
    off = Fidelity(policy="a", recorded={"time_to_success_ms": 900.0}, simulated={"time_to_success_ms": Estimate(value=1170, low=1100, high=1200)})
    page = backtest_page(report.model_copy(update={"differences": (close,), "fidelity": off}))
    assert "Whether b or a is quicker: they may differ by up to 25%" in page
    assert "30% slower than the recording" in page
    assert "Requests come when they came" in page
    unseen = report.model_copy(update={"fidelity": off.model_copy(update={"simulated": None})})
    assert "how true the simulation is cannot be seen: add it" in backtest_page(unseen)


def test_a_refusal_is_a_sentence_and_no_column(page: str, report: Backtest) -> None:
    """An answer that the log refuses stands with its reason below the table of both answers; without one there is no word of it."""
    assert "no answer from the log: too thin for" in page
    every = report.model_copy(update={"off_policy": report.off_policy[:1]})
    assert "no answer from the log" not in backtest_page(every)
    assert "refused</th>" not in page


def test_the_worst_decisions_are_short(report: Backtest) -> None:
    """What they have in common, then rounded figures; no cost that counts what others lose."""
    (one,) = report.worst
    page = backtest_page(report.model_copy(update={"worst": (one,) * 5}))
    assert "5 of 5 took more than twice what was expected there" in page
    part = page[page.index("Worst decisions</h2>") : page.index("Data quality</h2>")]
    assert max(map(len, re.findall(r"<td>([^<]*)", part))) < 90
    assert "because of" not in part


def test_an_incident_without_an_alert_says_why(report: Backtest) -> None:
    """With the figures of the nearest rule; one that was named shows its alert."""
    silent = Noticed(target="a", kind="failing", from_s=1, until_s=9, attempts=12, bad=3, alert="", why="it lasted 8 s")
    named = silent.model_copy(update={"alert": "error_rate of a, high", "why": ""})
    page = backtest_page(report.model_copy(update={"noticed": (silent, named)}))
    assert "<td>none</td>" in page
    assert "<li>a, 1–9 s, has no alert: it lasted 8 s.</li>" in page
    assert page.count("has no alert") == 1
    assert "<td>error_rate of a, high</td>" in page


def test_tables_and_charts_are_told_to_who_cannot_see_them(page: str) -> None:
    """Heads have a scope, tables a caption, charts a title and what they show; what scrolls can be reached from the keyboard."""
    root = fromstring(page)
    assert all(head.get("scope") in {"col", "row"} for head in root.iter("th"))
    assert all(table.find("caption") is not None for table in root.iter("table"))
    assert all(chart.findtext("title") and chart.findtext("desc") for chart in root.iter("svg"))
    assert all(box.get("tabindex") == "0" and box.get("aria-label") for box in root.iter("div") if box.get("class") == "wide")


@pytest.mark.parametrize("place", [0, 1])
def test_colours_of_text_can_be_read(place: int) -> None:
    """Ink, dim text, links and failures have a contrast of 4.5 to the paper, light and dark (WCAG 2, AA)."""
    colours = {name: both.split(", ")[place] for name, both in re.findall(r"--(\w+): light-dark\(([^)]*)\)", STYLE)}
    for name in ("ink", "dim", "c0", "c4"):
        dark, light = sorted((_luminance(colours[name]), _luminance(colours["paper"])))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name


def _luminance(colour: str) -> float:
    """Of sRGB, relative."""
    parts = [int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_page_asks_for_nothing(page: str) -> None:
    """No address of anything elsewhere, no script, nothing to fetch: every reference is data in the file, and the page's own policy forbids the rest."""
    assert not re.search(r"https?:|//", re.sub(r"base64,[\w+/=]+", "", page.replace("<!DOCTYPE html>", "")))
    assert "default-src 'none'" in page
    for tag, attributes in tags(page):
        assert tag not in {"script", "link", "iframe", "img", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset"}]
        assert attributes.get("href", "data:") is not None
        assert str(attributes.get("href", "data:")).startswith("data:text/csv;base64,") or "href" not in attributes


def test_hostile_names_stay_text(page: str, hostile: str) -> None:
    """They appear as they are, but for what XML does not know, and make no element."""
    text = "".join(fromstring(page).itertext())
    assert "</td><script>alert('&\"')</script>" in text
    assert "<script" not in page
    assert hostile not in text


def test_figures_stand_with_their_intervals(page: str) -> None:
    """A mean of three seeds, with its interval below it, in the unit of its head."""
    table = next(found for found in fromstring(page).iter("table") if found.findtext("caption") == "Simulated")
    rows = {"".join(row[0].itertext()): ["".join(cell.itertext()) for cell in row[1:]] for row in table.iter("tr")}
    assert rows["mean, s"][0] == "1.00"
    assert re.fullmatch(r"1\.030\.6\d\d–1\.4\d", rows["time to success, s"][0])
    assert rows["failed"][0] == "1.0%"


def test_the_data_comes_along_as_csv(page: str, report: Backtest) -> None:
    """Every file opens; what a spreadsheet would compute is quoted."""
    files = {str(attributes["download"]): str(attributes["href"]).split(",")[1] for tag, attributes in tags(page) if tag == "a"}
    tables = {name: list(csv.DictReader(io.StringIO(base64.b64decode(data).decode()))) for name, data in files.items()}
    assert set(tables) == {"policies.csv", "over_time.csv", "shares.csv", "worst.csv"}
    (mean,) = [row for row in tables["policies.csv"] if (row["policy"], row["metric"]) == ("policy-0", "mean_ms")]
    assert float(mean["value"]) == 1000.0
    assert len(tables["over_time.csv"]) == 96 * 3
    renamed = report.model_copy(update={"policies": (report.policies[0].model_copy(update={"name": "=1+1"}),)})
    formula = next(str(attributes["href"]) for _, attributes in tags(backtest_page(renamed)) if attributes.get("download") == "policies.csv")
    assert "\n'=1+1,mean_ms" in base64.b64decode(formula.split(",")[1]).decode()


def test_a_page_is_small(make_report: MakeReport) -> None:
    """Six policies on thirty targets stay under 1.5 MB."""
    assert len(backtest_page(make_report(30, 6)).encode()) < 1_500_000


def test_a_page_without_anything_special_says_so(report: Backtest) -> None:
    """No trouble, no outage, no log, no comparison: each is told or left out."""
    plain = report.model_copy(
        update={
            "policies": (report.policies[0].model_copy(update={"failovers": (), "alerts": (), "states": ()}),), "differences": (), "off_policy": (),
            "spells": (), "worst": (), "quality": (), "fidelity": None, "checks": (), "disagreements": (),
        }
    )  # fmt: skip
    page = backtest_page(plain)
    fromstring(page)
    for words in ("No trouble was found", "No target was down", "no alert was raised", "Nothing had to be left out"):
        assert words in page
    assert "no answer from the log" not in page


def test_conditions_become_test_cases(report: Backtest, hostile: str) -> None:
    """One each, failed where it is true, the verdict beside it; without conditions one that passes."""
    suite = fromstring(junit_xml(report))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "p95_ms>1 is true: 2"
    assert "takes 5.00 times as long" in (failure.text or "")
    assert hostile not in junit_xml(report)
    without = fromstring(junit_xml(report.model_copy(update={"checks": ()})))
    assert (without.get("tests"), without.get("failures")) == ("1", "0")


@pytest.fixture(scope="module")
def chromium() -> str:
    """A browser; where there is none the tests that need it are skipped, but not in continuous integration."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("CI"):
        pytest.fail("chromium is not installed: continuous integration installs it")
    if found is None:
        pytest.skip("needs chromium, which is not installed")
    return found


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its address, and what it was asked for."""
    paths: list[str] = []

    class Noting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by its base
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Noting)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", paths
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_without_a_network_shows_the_page(chromium: str, report: Backtest, asked: tuple[str, list[str]], tmp_path: Path, scheme: str) -> None:
    """Names that would fetch something fetch nothing, the browser has nothing to complain of, and the picture is not empty."""
    url, paths = asked
    fetching = f'"><img src="{url}"/><link rel="stylesheet" href="{url}"/><style>@import url({url});</style>'
    renamed = report.model_copy(update={"verdict": fetching, "source": report.source.model_copy(update={"name": fetching})})
    (tmp_path / "report.html").write_text(backtest_page(renamed), encoding="utf-8")
    picture = tmp_path / "report.png"
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        f"--user-data-dir={tmp_path / 'profile'}", f"--blink-settings=preferredColorScheme={int(scheme == 'light')}", "--enable-logging=stderr",
        f"--screenshot={picture}", "--window-size=900,2400", "--no-first-run", (tmp_path / "report.html").as_uri(),
    ]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "CONSOLE" not in ran.stderr
    assert paths == []
    assert picture.stat().st_size > 50_000
