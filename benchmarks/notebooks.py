"""Execute the notebooks of the documentation: `make notebooks` writes them with their outputs; with --check it says where the texts in them differ."""

from __future__ import annotations

import sys
import tempfile
from difflib import unified_diff
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
_TIMEOUT_S = 280


def executed(path: Path) -> Any:
    """The notebook with new outputs, from a kernel of its own in an empty folder. Raises CellExecutionError where a cell fails."""
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=_TIMEOUT_S, kernel_name="python3", record_timing=False, resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],
        ).execute()  # fmt: skip
    # what runs it differs from machine to machine, what it says does not
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    return notebook


def said(notebook: Any) -> list[str]:
    """The lines that the cells print and show as text; no pictures."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs if "image/svg+xml" not in output.get("data", {})]
    return [line for output in outputs for line in (output.get("text") or output["data"]["text/plain"]).splitlines()]


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    names = [argument for argument in arguments if argument != "--check"] or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    different = False
    for name in names:
        path = FOLDER / f"{name}.ipynb"
        notebook = executed(path)
        if not check:
            nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
            continue
        kept = said(nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]
        for line in unified_diff(kept, said(notebook), f"{name} as kept", f"{name} as executed", lineterm=""):
            different = True
            print(line)
    return int(different)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
