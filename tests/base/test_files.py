from __future__ import annotations

import subprocess
import sys
import time

import pytest

from twoviews.base.errors import RunError, UserError, unknown
from twoviews.base.files import locked, read_json, write_json, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})

    def full_disk(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match=r"No space left.*unchanged"):
        write_whole(target, full_disk)
    assert read_json(target) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_replaces_a_folder(tmp_path):
    for text in ("one", "two"):

        def fill(part, text=text):
            part.mkdir()
            (part / "x").write_text(text)

        write_whole(tmp_path / "folder", fill)
    assert (tmp_path / "folder" / "x").read_text() == "two"


def test_the_lock_is_of_one_process_and_dies_with_it(tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nfrom twoviews.base.files import locked\n"
    code += f"with locked(Path({str(tmp_path)!r})):\n    print('held', flush=True)\n    time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"pid {other.pid}"), locked(tmp_path):
            pass
    finally:
        other.kill()
        other.wait()
    time.sleep(0.05)
    with locked(tmp_path):
        pass


def test_errors_name_the_nearest():
    assert "Did you mean resnet50?" in str(unknown("encoder", "resnet5", ["resnet18", "resnet50"]))
    assert unknown("x", "y", []).exit_code == 2


def test_json_that_is_none(tmp_path):
    (tmp_path / "x").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_json(tmp_path / "x")
    with pytest.raises(UserError, match="does not exist"):
        read_json(tmp_path / "y")
