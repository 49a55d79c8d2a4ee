"""A column of labels → numbers and class names. Labels are values: whatever their type, equal values are one class, in every file and part of a set."""

from __future__ import annotations

import dataclasses
import decimal
import json
import math
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..base.errors import UserError

NUMERAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d*)?")
UNKNOWN = "-1"  # in a column of numbers, as Hugging Face's library writes it
NUMBER, TEXT, BOOL = "numbers", "text", "true and false"


@dataclasses.dataclass(frozen=True)
class Column:
    """The labels of one file: `values` None where it has no such column; `names` are what ClassLabel calls the numbers."""

    where: str
    name: str
    count: int
    values: pa.ChunkedArray | None
    names: Sequence[str] = ()


@dataclasses.dataclass
class Labels:
    """Class numbers of each column, −1 where unknown, and the classes' names. `why` there are none, in words, and what was understood."""

    numbers: list[NDArray[np.int64]]
    classes: list[str]
    why: str = ""
    remarks: list[str] = dataclasses.field(default_factory=list)

    def of(self, columns: Sequence[int]) -> NDArray[np.int64] | None:
        """The labels of some files as one array; None where there are no classes."""
        return np.concatenate([self.numbers[i] for i in columns]) if self.classes else None


def numbered(columns: Sequence[Column]) -> Labels:
    """The classes of all these files together, sorted (numbers as numbers), or in ClassLabel's order; fewer than two are none.

    Unknown are null, NaN, empty text, and −1 unless it is one of two values. Raises UserError for labels above the names, for types that do not fit
    together, and for what is no label, naming file and column.
    """
    known = [column for column in columns if column.values is not None]
    if not known:
        return Labels([], [])
    name = known[0].name
    if several := next((column for column in known if _several(column)), None):
        why = f"there are several labels an image in the column {name!r} of {several.where}"
        return Labels([], [], why, [f"{why}: none is taken"])
    own_names = next((column.names for column in known if column.names), ())
    read = [_read(column, own_names) for column in known]
    numeric = not own_names and _numerals([value for r in read if r.kind == TEXT for value in r.distinct])
    _same_kind(known, read, name, numeric)
    texts = [[_text(value, numeric) for value in r.distinct] for r in read]
    found = {text for column in texts for text in column if text is not None}
    remarks = []
    if not own_names and (numeric or all(r.kind == NUMBER for r in read)) and UNKNOWN in found and len(found) > 2:
        found.remove(UNKNOWN)
        remarks.append(f"the label −1 in the column {name!r} is taken as unknown")
    given = list(dict.fromkeys(text for column in known for text in (column.names or own_names)))
    classes = given + sorted(found - set(given), key=natural)
    if len(classes) < 2:
        only = f"all have the label {classes[0]!r}" if classes else "none has one"
        return Labels([], [], f"{only} in the column {name!r}", remarks)
    remarks += [f"{c.where} has no column {name!r}: its {c.count:,} images have no label" for c in columns if c.values is None]
    number = {text: i for i, text in enumerate(classes)}
    lookup = iter(
        np.array([*(-1 if text is None else number.get(text, -1) for text in own), -1], np.int64)[r.codes]  # code −1 is the last
        for r, own in zip(read, texts, strict=True)
    )
    numbers = [np.full(column.count, -1, np.int64) if column.values is None else next(lookup) for column in columns]
    return Labels(numbers, classes, "", remarks)


@dataclasses.dataclass(frozen=True)
class _Values:
    """The distinct values of a column, and which of them each row has; −1 for none."""

    codes: NDArray[np.int64]
    distinct: list[Any]
    kind: str


def _lists(kind: pa.DataType) -> bool:
    return any(
        (pa.types.is_list(kind), pa.types.is_large_list(kind), pa.types.is_fixed_size_list(kind), pa.types.is_list_view(kind))
    ) or pa.types.is_large_list_view(kind)


def _several(column: Column) -> bool:
    assert column.values is not None
    return _lists(column.values.type) and bool((pc.max(pc.list_value_length(column.values)).as_py() or 0) > 1)  # type: ignore[attr-defined]


def _read(column: Column, names: Sequence[str]) -> _Values:
    values = column.values
    assert values is not None
    if _lists(values.type):
        inner = values.type.value_type
        values = pa.chunked_array([pa.array([one[0] if one else None for one in values.to_pylist()], inner)])
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kind = values.type
    if pa.types.is_null(kind):
        return _Values(np.full(len(values), -1, np.int64), [], "")
    if pa.types.is_nested(kind):
        raise UserError(f"{column.where}: the column {column.name!r} holds {kind}, which are no labels: --label-column names another")
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        values = values.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())
    codes, distinct = _encoded(values)
    distinct = [os.fsdecode(v) if isinstance(v, bytes) else v for v in distinct]
    if pa.types.is_floating(kind):
        distinct = [np.dtype(kind.to_pandas_dtype()).type(v) for v in distinct]
    own = column.names or names
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if own and number:
        distinct = [_called(v, own, column) for v in distinct]
    named = BOOL if pa.types.is_boolean(kind) else NUMBER if number else TEXT
    return _Values(codes, distinct, TEXT if own and number else named)


def _encoded(values: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[Any]]:
    """Which of its distinct values each row has, −1 for none, and these values."""
    try:
        encoded = values.dictionary_encode().unify_dictionaries()
    except pa.ArrowNotImplementedError:  # half floats
        rows = values.to_pylist()
        places = {value: n for n, value in enumerate(dict.fromkeys(row for row in rows if row is not None))}
        return np.array([-1 if row is None else places[row] for row in rows], np.int64), list(places)
    codes = [np.asarray(pc.fill_null(chunk.indices.cast(pa.int64()), -1)) for chunk in encoded.chunks]  # type: ignore[attr-defined]
    distinct = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    return np.concatenate([np.zeros(0, np.int64), *codes]), distinct


def _called(value: Any, names: Sequence[str], column: Column) -> str | None:
    """What ClassLabel calls a number. Raises UserError where it is none of its."""
    if value != value or value == -1:
        return None
    if value != int(value) or not 0 <= value < len(names):
        raise UserError(
            f"{column.where}: the label {value} in the column {column.name!r} is not one of the {len(names)} classes that are named there "
            f"({', '.join(names[:3])}{', …' if len(names) > 3 else ''}): labels above the names"
        )
    return names[int(value)]


def _same_kind(columns: Sequence[Column], read: Sequence[_Values], name: str, numeric: bool) -> None:
    first: dict[str, str] = {}
    for column, values in zip(columns, read, strict=True):
        if any(value not in (None, "") for value in values.distinct):
            first.setdefault(NUMBER if numeric and values.kind == TEXT else values.kind, column.where)
    if len(first) > 1:
        raise UserError(
            f"the column {name!r} holds {' and '.join(f'{kind} in {where}' for kind, where in first.items())}: these cannot be the same labels"
        )


def _numerals(texts: Sequence[Any]) -> bool:
    """Whether texts are numbers written out, as in a CSV."""
    return any(texts) and all(not t or (isinstance(t, str) and (t.lower() == "nan" or NUMERAL.fullmatch(t))) for t in texts)


def _text(value: Any, numeral: bool) -> str | None:
    """A value as the name of its class; None for one that says nothing."""
    if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
        return None
    if isinstance(value, str):
        if not numeral:
            return value or None
        return None if not value or value.lower() == "nan" else _tidy_number(value)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (float, np.floating, decimal.Decimal)):
        return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
    return str(value)


def _tidy_number(text: str) -> str:
    whole, _, rest = text.partition(".")
    return text if rest.strip("0") else "0" if whole == "-0" else whole


def natural(text: str) -> tuple[int, float, str]:
    """A key that sorts numbers in their order, before words."""
    return (0, float(text), text.zfill(40)) if NUMERAL.fullmatch(text) or text.isdecimal() else (1, 0.0, text)


def class_names(schema: pa.Schema, column: str) -> list[str]:
    """What the schema's `huggingface` metadata calls the classes, also of a list of them; empty where it does not."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        feature = feature[0] if isinstance(feature, list) else feature
        return list(feature.get("names") or feature["feature"]["names"])
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        return []
