"""The notebooks in docs/ run from the first cell to the last, and find what they promise."""

import os
import pathlib

import pytest

pytestmark = pytest.mark.slow

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = pathlib.Path(__file__).parents[1]


def printed(cell) -> str:
    """What a cell printed and what its last line is."""
    texts = [output.get("text", "") for output in cell.outputs]
    texts += [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(texts)


def test_first_steps(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "first_steps.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # none is committed
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    cells = {cell.source: printed(cell) for cell in notebook.cells if cell.cell_type == "code"}

    def of(start):
        return next(text for source, text in cells.items() if start in source)

    assert "12 sounds" in of("paths = sorted")
    assert "(3, 128)" in of("found = model.embed")
    assert float(of("same = model.embed")) < 1e-5
    asked, *hits = of("query = paths[-1]").split("like ")[1].strip().split("\n")
    kinds = [line.split()[-1] for line in hits if line.lstrip("-").startswith("0.")]
    assert "whistle" in asked and len(kinds) == 3 and kinds[:2] == ["whistle", "whistle"]
    assert "rain" in of("noise = ")
    assert any(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
