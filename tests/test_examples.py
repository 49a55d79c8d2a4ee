"""The examples run as their docstrings say, the first stays on one page, and they learn."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "simclr_in_one_page.py"


def test_simclr_in_one_page():
    assert len(EXAMPLE.read_text().splitlines()) <= 80
    done = subprocess.run([sys.executable, str(EXAMPLE), "--epochs", "10"], capture_output=True, text=True, check=True)
    assert float(re.search(r"nearest neighbour: ([\d.]+) %", done.stdout)[1]) > 75


def test_own_views_and_loss(tmp_path):
    command = [sys.executable, str(EXAMPLE.parent / "own_views_and_loss.py"), "--epochs", "12", "--out", str(tmp_path / "own")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(re.search(r"other writers: ([\d.]+) %", done.stdout)[1]) > 75


def test_the_notebook_runs(tmp_path):
    """In a real kernel, from the first cell to the last, and says what the text promises."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLE.parent / "ten_minutes.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # committed without outputs
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        output["data"].get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    ]
    rows = {(subject, labels): top1 for subject, labels, top1 in next(eval(text) for text in shown if "'pixels'" in text)}
    assert rows["twoviews", "5 per class"] > rows["pixels", "5 per class"]
    assert any("model.onnx" in text for text in shown)
