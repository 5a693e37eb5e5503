from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from routecast.dashboards.grafana.linting import panels
from routecast.dashboards.grafana.shipped import dashboards

PACKAGES = ("@grafana/schema@12.0.2", "typescript@5.9.3")
KINDS = {"stat": "Stat", "timeseries": "TimeSeries", "state-timeline": "StateTimeline", "table": "Table", "heatmap": "Heatmap"}


@pytest.fixture(scope="module")
def modules() -> Path:
    """Grafana's types and a compiler, installed once and kept outside of the repository."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("npm must be installed under CI")
        pytest.skip("needs npm, to check panels against Grafana's own types: install Node.js")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "routecast" / "grafana-schema-12.0.2"
    if not (folder / "node_modules" / ".package-lock.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *PACKAGES], check=True, capture_output=True)
    return folder


PREAMBLE = """
import type { Dashboard, FieldConfig, Panel } from '@grafana/schema';
type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Shell = Omit<Panel, 'fieldConfig' | 'options' | 'targets'>;
// @ts-expect-error - the check can fail: there is no such option
export const misspelt: Partial<Plain<TimeSeries.Options>> = { legendary: {} };
// @ts-expect-error - nor such a value
export const unheard: Plain<TimeSeries.Options>['tooltip']['mode'] = 'several';
"""


def _program(boards: dict[str, dict[str, Any]]) -> str:
    """Constants of Grafana's types whose values are those of the dashboards: the compiler refuses what they do not have."""
    raw = "@grafana/schema/dist/esm/raw/composable"
    lines = [f"import type * as {kind} from '{raw}/{name.replace('-', '')}/panelcfg/x/{kind}PanelCfg_types.gen';" for name, kind in KINDS.items()]
    lines.append(PREAMBLE)
    for number, board in enumerate(boards.values()):
        whole = {key: value for key, value in board.items() if key not in {"panels", "annotations"}}
        lines.append(f"export const board{number}: Partial<Plain<Dashboard>> = {json.dumps(whole)};")
        for panel in panels(board):
            kind, name = KINDS[panel["type"]], f"{number}_{panel['id']}"
            shell = {key: value for key, value in panel.items() if key not in {"options", "fieldConfig", "targets"}}
            lines.append(f"export const panel{name}: Plain<Shell> = {json.dumps(shell)};")
            lines.append(f"export const options{name}: Partial<Plain<{kind}.Options>> = {json.dumps(panel['options'])};")
            defaults = dict(panel["fieldConfig"]["defaults"])
            custom = defaults.pop("custom", None)
            lines.append(f"export const defaults{name}: Plain<FieldConfig> = {json.dumps(defaults)};")
            if custom:
                lines.append(f"export const fields{name}: Partial<Plain<{kind}.FieldConfig>> = {json.dumps(custom)};")
    return "\n".join(lines)


@pytest.mark.timeout(300)
def test_panels_have_the_options_that_grafana_knows(modules: Path, tmp_path: Path) -> None:
    """By Grafana's own types; a schema of JSON would let misspelt options through."""
    (tmp_path / "node_modules").symlink_to(modules / "node_modules")
    (tmp_path / "boards.ts").write_text(_program(dashboards()))
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "commonjs", "--moduleResolution", "node10", "--target", "es2022"]
    command = ["node", str(modules / "node_modules" / "typescript" / "bin" / "tsc"), *options, "boards.ts"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False).stdout == ""
