"""The example runs as its docstring says, stays on one page, and learns."""

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
