"""Values as a capture holds them: what JSON has, and bytes, which it has not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

_TEXT, _HEX, _BLOB = "$text", "$hex", "$blob"
INLINE = 4096
"""Bytes up to which binary data stands in the line itself; larger things become a file of their own."""


def to_json(value: Any, keep: Callable[[bytes], str] | None = None) -> Any:
    """`value` with its bytes written as JSON has it.

    Args:
        value: dicts, lists, scalars and bytes.
        keep: stores data above `INLINE` bytes elsewhere and returns its name; `None` = everything stays in line.

    """
    if isinstance(value, bytes):
        if keep is not None and len(value) > INLINE:
            return {_BLOB: keep(value)}
        try:
            return {_TEXT: value.decode("utf-8")}
        except UnicodeDecodeError:
            return {_HEX: value.hex()}
    if isinstance(value, dict):
        return {key: to_json(item, keep) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, keep) for item in value]
    return value


def from_json(value: Any, blob: Callable[[str], bytes]) -> Any:
    """The reverse of `to_json`; `blob` finds data by its name.

    Raises:
        ValueError: the JSON was not written by `to_json`.
        KeyError: there is no data of a name.

    """
    if isinstance(value, list):
        return [from_json(item, blob) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next((key for key in (_TEXT, _HEX, _BLOB) if key in value), None)
    if kind is None:
        return {key: from_json(item, blob) for key, item in value.items()}
    content = value[kind]
    if not isinstance(content, str):
        raise ValueError(f"{kind} is no text")  # noqa: TRY004  (data is wrong, not the call)
    if kind == _TEXT:
        return content.encode("utf-8")
    return bytes.fromhex(content) if kind == _HEX else blob(content)


def key_text(call: str, args: Any) -> str:
    """One text for a question: equal questions have equal texts."""
    return json.dumps([call, to_json(args)], sort_keys=True)


def fields(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All scalars and bytes in `value`, each with the key it stands under, in no particular order."""
    todo = [(key, value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, dict):
            todo += [(str(name), item) for name, item in value.items()]
        elif isinstance(value, (list, tuple)):
            todo += [(key, item) for item in value]
        else:
            yield key, value


def contents(value: Any) -> Iterator[bytes]:
    """All text and bytes in `value`, as bytes."""
    for _, item in fields(value):
        if isinstance(item, str):
            yield item.encode("utf-8", "surrogateescape")
        elif isinstance(item, bytes):
            yield item
