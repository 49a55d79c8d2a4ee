"""Where the shared test data is, and small helpers of every test."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings

settings.register_profile("twoviews", deadline=None)  # the first call of a kernel is slow
settings.load_profile("twoviews")


def twoviews(*arguments, cwd=None) -> subprocess.CompletedProcess:
    """The command line in this process, which has everything loaded: for what does not need a process of its own."""
    from twoviews.cli.main import main

    out, err, words = io.StringIO(), io.StringIO(), list(map(str, arguments))
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd or "."),
        mock.patch("sys.argv", ["twoviews", *words]),
    ):
        code = main(words)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


SHARED = Path(os.environ.get("TWOVIEWS_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared(name: str, what: str) -> Path:
    """A folder of the shared test data. Where it is absent the test is skipped, or fails if TWOVIEWS_SHARED_REQUIRED says that it must run."""
    folder = SHARED / name
    if not folder.is_dir():
        message = f"{what} are not on this machine"
        pytest.fail(message) if os.environ.get("TWOVIEWS_SHARED_REQUIRED") else pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real pictures."""
    return shared("data", "the shared real pictures")
