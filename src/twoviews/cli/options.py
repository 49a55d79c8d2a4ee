"""Options straight from a dataclass: each field becomes `--name` with its type and its line of help, so nothing is written twice."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

SPEC = "a folder of pictures, a list (.csv, .tsv, .parquet), Parquet files, hf:NAME, shards:DIR, or a set such as digits"
ENCODER = Annotated[str, Parameter(help="a RUN, a .safetensors file, timm:NAME or torchvision:NAME")]
IMAGES = Annotated[str, Parameter(help=SPEC)]
VECTORS = Annotated[str, Parameter(help=f"{SPEC}, or vectors that embed wrote (then nothing is computed twice)")]
LABELLED = Annotated[
    str, Parameter(help="labelled pictures: a folder of class folders, a list (.csv), Parquet, hf:NAME, shards:DIR, or a set")
]
ALSO = {"labels": ("--labels", "--labels-per-class"), "k": ("-k", "--k")}


def from_dataclass(config: type, only: Iterable[str] | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: the command gets an option for each field (or those of `only`); the ones given arrive as keyword arguments.

    What is not given does not arrive, so that recipes and defaults stay where they are.
    """
    wanted = set(only) if only is not None else None
    hints = get_type_hints(config)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(function, eval_str=True)
        parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        for field in dataclasses.fields(config):
            if wanted is not None and field.name not in wanted:
                continue
            several, default = isinstance(field.default, tuple), field.default
            shown = " ".join(default) if isinstance(default, tuple) else default
            text = f"{field.metadata['help']} [default: {shown if shown != '' else 'none'}]"
            meaning = Parameter(
                name=ALSO.get(field.name),
                help=text,
                consume_multiple=several or None,
                show_default=False,
                negative=None if field.type == "bool" else "",
            )
            kind = list[str] if several else hints[field.name]
            parameters.append(
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, meaning])
            )

        def command(*args: Any, **options: Any) -> Any:
            given = {k: v for k, v in options.items() if v is not None}
            for name, value in given.items():
                if isinstance(value, list) and name not in own.parameters:
                    given[name] = tuple(part for text in value for part in text.split(","))
            return function(*args, **given)

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return command

    return decorate
