"""A folder is a floor, and imports only go down (docs/architecture.md). Read from the source, without running it."""

from __future__ import annotations

import ast
from pathlib import Path

import twoviews

FLOORS = [
    "base",
    "sources",
    "views",
    "nets",
    "losses",
    "optim",
    "probes",
    "training",
    "evaluate",
    "vectors",
    "formats",
    "pages",
    "studies",
    "bench",
    "cli",
]
PACKAGE = Path(twoviews.__file__).parent


def imports(path: Path):
    """(floor, line) of each import of another floor of this package, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            yield (node.module or "").split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("twoviews"):
            raise AssertionError(f"{path}:{node.lineno} imports the package by its name; inside it imports are relative")


def test_every_folder_is_a_floor():
    assert {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} == set(FLOORS)


def test_imports_go_down():
    wrong, seen = [], 0
    for floor in FLOORS:
        for path in (PACKAGE / floor).glob("*.py"):
            for target, line in imports(path):
                seen += 1
                if target in FLOORS and FLOORS.index(target) >= FLOORS.index(floor):
                    wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {target}")
    assert not wrong
    assert seen > 50


def test_folders_only_export():
    for floor in FLOORS:
        tree = ast.parse((PACKAGE / floor / "__init__.py").read_text(encoding="utf-8"))
        assert all(isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom)) for node in tree.body), floor
        assert ast.get_docstring(tree), floor


def test_no_pickle():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        assert "torch.load(" not in text, path
        assert "torch.save(" not in text, path


def test_public_names_load():
    assert {name: getattr(twoviews, name) for name in twoviews.__all__}.keys() == set(twoviews._WHERE)
    assert twoviews.draw_keys(1, 2).shape == (1,)
