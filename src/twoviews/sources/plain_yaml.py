"""As much of YAML as the description of a data set needs: keys with words, numbers, lists and mappings, in a line or in blocks. It can make nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s\[\]{}#'"&*!|>%@`,-][^#]*?|-?\d+)\s*:(?:\s+|$)""")
_TOKEN = re.compile(
    r"""\s*(?:
    ([\[\]{},])
    |("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')
    |(:)(?=\s|$|[\[\]{},"'])
    |((?:[^\[\]{},:\s]|:(?!\s|$|[\[\]{},]))(?:[^\[\]{},:]|:(?![\s\[\]{},]|$))*)
    )""",
    re.VERBOSE,
)
_NUMBERS = ((re.compile(r"[-+]?(?:0|[1-9]\d*)"), int), (re.compile(r"[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?"), float))
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


def plain_yaml(text: str) -> dict[Any, Any]:
    """The mapping that a text is. Deeper blocks than lists and mappings of words are passed over. Raises ValueError with the line."""
    lines = [(number, _uncommented(line)) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line.strip() and line.rstrip() not in ("---", "...")]
    out: dict[Any, Any] = {}
    at = 0
    while at < len(lines):
        number, line = lines[at]
        found = _KEY.match(line)
        if not found:
            raise ValueError(f"line {number} is not understood: {line.strip()[:60]!r}")
        end = at + 1
        while end < len(lines) and (lines[end][1][0] in " \t" or lines[end][1].startswith(("- ", "]", "}")) or lines[end][1] == "-"):
            end += 1
        rest, block = line[found.end() :].strip(), lines[at + 1 : end]
        try:
            out[_word(found[1])] = _value(rest, [inner for _, inner in block])
        except (ValueError, IndexError, RecursionError) as error:
            raise ValueError(f"line {number} is not understood: {line.strip()[:60]!r}") from error
        at = end
    return out


def _uncommented(line: str) -> str:
    """A line up to its comment: a # at its beginning or after a space, outside of quotes."""
    quote = ""
    for at, c in enumerate(line):
        before = line[at - 1] if at else " "
        if quote:
            quote = "" if c == quote and (c == "'" or before != "\\") else quote
        elif c in "'\"" and (before.isspace() or before in "[{,:"):
            quote = c
        elif c == "#" and before.isspace():
            return line[:at].rstrip()
    return line.rstrip()


def _value(rest: str, block: list[str]) -> Any:
    """What stands after a key: in its line, and in the indented ones below."""
    if rest[:1] in ("|", ">"):
        return "\n".join(line.strip() for line in block)
    if rest[:1] in ("[", "{"):
        tokens = _tokens(" ".join([rest, *(line.strip() for line in block)]))
        value = _flow(tokens)
        if tokens:
            raise ValueError("more than one value")
        return value
    if rest or not block:
        if block:
            raise ValueError("a value of several lines")
        return _word(rest)
    depth = len(block[0]) - len(block[0].lstrip())
    own = [line.strip() for line in block if len(line) - len(line.lstrip()) == depth]
    if own[0].startswith("-"):
        return [_inline(line[1:].strip()) for line in own]
    pairs = [(found, line) for line in own if (found := _KEY.match(line))]
    if len(pairs) < len(own):
        raise ValueError("a block that is no mapping")
    return {_word(found[1]): _inline(line[found.end() :].strip()) for found, line in pairs}


def _inline(text: str) -> Any:
    return _value(text, []) if text[:1] in ("[", "{") else _word(text)


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if not found or found.end() == at:
            raise ValueError(text[at:])
        tokens.append(found[0].strip())
        at = found.end()
    return tokens


def _flow(tokens: list[str]) -> Any:
    """A list [a, b] or a mapping {a: b}, taken off the front of the tokens; else one word."""
    first = tokens.pop(0)
    if first not in ("[", "{"):
        return _word(first)
    items: list[tuple[Any, Any]] = []
    while tokens[0] not in ("]", "}"):
        key = _flow(tokens)
        value = None
        if tokens[0] == ":":
            tokens.pop(0)
            value = _flow(tokens) if tokens[0] not in (",", "}", "]") else None
        items.append((key, value))
        if tokens[0] == ",":
            tokens.pop(0)
    last = tokens.pop(0)
    if last != {"[": "]", "{": "}"}[first]:
        raise ValueError(last)
    return dict(items) if first == "{" else [key for key, _ in items]


def _word(text: str) -> Any:
    """A word, number, truth value or nothing; words in quotes are words."""
    if text[:1] == '"':
        return json.loads(text)
    if text[:1] == "'":
        if len(text) < 2 or text[-1] != "'":
            raise ValueError(text)
        return text[1:-1].replace("''", "'")
    if text[:1] in ("&", "*", "!", "%", "@", "`"):
        raise ValueError(text)  # anchors, tags: nothing that we make
    for pattern, kind in _NUMBERS:
        if pattern.fullmatch(text):
            return kind(text)
    return _WORDS.get(text.lower(), text)
