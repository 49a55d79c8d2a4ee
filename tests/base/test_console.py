"""Progress and colours in pipes and on a terminal (a real pseudo-terminal)."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

COMMAND = [
    sys.executable,
    "-m",
    "twoviews",
    "train",
    "digits",
    "--recipe",
    "digits",
    "--width",
    "0.25",
    "--epochs",
    "2",
    "--batch",
    "64",
    "--log-every",
    "2",
]


def test_a_pipe_gets_lines_without_bars_or_colours(tmp_path):
    done = subprocess.run([*COMMAND, "--out", str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    assert "images/s" not in done.stderr
    assert "epoch 2/2" in done.stderr


def test_a_terminal_gets_a_bar_that_explains_the_loss(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--out", str(tmp_path / "run")], stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.wait() == 0
    text = seen.decode(errors="replace")
    for words in ("images/s", "waits for data", "nothing known: 4.84", "contrastive accuracy", "chance 1.6 %"):
        assert words in text, words
