"""Documentation that is derived stays derived; links and commands in it exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["options", "recipes"])
def test_derived_pages_are_up_to_date(page):
    assert (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") == getattr(generator(), page)(), "run: python docs/generate.py"


def test_tables_are_those_of_the_figures():
    for page in generator().FILLED:
        assert page.read_text(encoding="utf-8") == generator().filled(page), "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_in_commands_exist(page):
    from twoviews.training.config import options

    known = {
        "out",
        "json",
        "count",
        "debug",
        "help",
        "no-tensorboard",
        "data",
        "images",
        "sets",
        "epochs",
        "width",
        "rounds",
        "labels-per-class",
    }
    known |= {"query", "k", "n", "plot", "sizes", "seconds", "preview", "no-measure", "open", "to"}
    known |= {name.replace("_", "-") for config in generator().VERBS.values() for name in config.__dataclass_fields__}
    known |= {name.replace("_", "-") for name in options()}
    for line in re.findall(r"twoviews \w+ [^\n`]*", page.read_text(encoding="utf-8")):
        for option in re.findall(r"--([a-z][a-z-]*)", line):
            assert option in known, f"{line}: --{option}"


def test_fidelity_names_tests_that_exist():
    """Each difference stands with the test that holds it."""
    lines = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8").split("## What differs")[1].splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ")][2:]
    assert len(rows) > 12
    for row in rows:
        named = re.findall(r"`(?:([a-z]+/test_\w+\.py)(?:::)?)?(test_\w+)?`", row[-1])
        assert named, row[0]
        file = ""
        for path, test in named:
            file = path or file
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in text, (file, test)
