"""Writes docs/options.md and docs/recipes.md from the dataclasses and recipes, so that no default stands in two places. A test compares.

Run: python docs/generate.py
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args, get_type_hints

from twoviews.evaluate.config import EvalConfig
from twoviews.training.config import FREE, TrainConfig
from twoviews.training.recipes import RECIPES

HERE = Path(__file__).parent


def shown(value: object) -> str:
    if value == "":
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


def rows(config: type) -> list[str]:
    hints = get_type_hints(config)
    out = ["| option | default | meaning |", "| --- | --- | --- |"]
    for field in dataclasses.fields(config):
        choices = get_args(hints[field.name])
        allowed = f" ({', '.join(map(str, choices))})" if choices and choices[-1] is not Ellipsis else ""
        text = field.metadata["help"].replace("|", "\\|")
        out.append(f"| `{field.name}` | {shown(field.default)} | {text}{allowed} |")
    return out


def options() -> str:
    parts = [
        "# Every option",
        "",
        "Written by docs/generate.py from the dataclasses that the program itself uses. On the command line `batch` is `--batch`, `log_every` is",
        "`--log-every`; in Python they are keyword arguments of `tv.train`, `tv.knn` and `tv.linear`. A recipe changes the defaults by name.",
        "",
        "## train",
        "",
        *rows(TrainConfig),
        "",
        f"A run goes on only with the same values, except for {', '.join(f'`{name}`' for name in sorted(FREE))}.",
        "",
        "## knn and linear",
        "",
        *rows(EvalConfig),
    ]
    return "\n".join(parts) + "\n"


def recipes() -> str:
    parts = [
        "# Recipes",
        "",
        "A recipe is a named set of values (`--recipe NAME`); options given beside it win. Without one, `auto` chooses by the pictures: `digits` for",
        "that set, `cifar10` for 5,000 or more pictures of up to 40 px, `photos` for up to 50,000 others, `paper` above. Written by docs/generate.py.",
        "What each reached here, with protocol and command, stands in [results.md](results.md).",
        "",
    ]
    for name, recipe in RECIPES.items():
        parts += [f"## {name}", "", f"{recipe.source[0].upper()}{recipe.source[1:]}.", ""]
        if recipe.values:
            parts += ["| option | value |", "| --- | --- |", *(f"| `{k}` | {shown(v)} |" for k, v in recipe.values.items()), ""]
        else:
            parts += ["The defaults of [options.md](options.md).", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    (HERE / "options.md").write_text(options(), encoding="utf-8")
    (HERE / "recipes.md").write_text(recipes(), encoding="utf-8")
