"""The table of runs."""

from __future__ import annotations

import json
import shutil

from twoviews.pages.runs import runs

from ..conftest import twoviews


def test_runs(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "a" / "b" / "one")
    shutil.copytree(trained / "run", tmp_path / "two")
    (tmp_path / "two" / "config.json").write_text("{}")
    (tmp_path / "no-run").mkdir()
    (tmp_path / "no-run" / "config.json").write_text("{}")
    (tmp_path / "a" / "b" / "one" / "log.jsonl").touch()
    found = {one["run"]: one for one in runs(tmp_path)}
    assert set(found) == {"a/b/one", "two"}
    assert "damaged" in found["two"]["error"]
    one = found["a/b/one"]
    assert (one["epochs"], one["of_epochs"], one["pictures"]) == (8, 8, 90)
    assert one["best"]["verb"] == "linear"
    assert 0 < one["best"]["top1"] <= 1


def test_command_line(trained, tmp_path):
    def run(*arguments):
        return twoviews("runs", *arguments)

    done = run(trained, "--json", tmp_path / "runs.json")
    assert done.returncode == 0, done.stderr
    assert "8/8" in done.stdout
    assert json.loads((tmp_path / "runs.json").read_text())[0]["run"] == "run"
    assert "holds no RUN" in run(tmp_path).stderr
    done = run(tmp_path / "none")
    assert done.returncode == 2
    assert "no folder" in done.stderr
