"""Whether what a hook returned, or left in what it was given, is of the kind that the machine goes on with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

Check = Callable[[Any], str]
"""What is wrong with a value: empty if nothing, else a phrase that begins with what was found."""


@cache
def check(kind: Any) -> Check:
    """Checks values against the annotation `kind`; of dataclasses every field, of collections every member."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is not None:
        return _collection(kind, origin, inner) if origin not in (Union, UnionType) else _any_of(kind, inner)
    if kind is Any:
        return lambda _: ""
    return _dataclass(kind) if is_dataclass(kind) and isinstance(kind, type) else _plain(kind)


def settled(kind: Any, value: Any) -> Any:
    """`value`; where `kind` asks for several, what a generator makes is as good as a list."""
    several = get_origin(kind) is Sequence and isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    return tuple(value) if several else value


def _plain(kind: type) -> Check:
    wanted = {float: (float, int), bytes: (bytes, bytearray, memoryview)}.get(kind, kind)

    def found(value: Any) -> str:
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind in (int, float)):
            return f"{value!r:.80}, expected {_named(kind)}"
        return f"{value!r}, expected a number" if isinstance(value, float) and math.isnan(value) else ""

    return found


def _any_of(kind: Any, inner: tuple[Any, ...]) -> Check:
    checks = [check(one) for one in inner]

    def found(value: Any) -> str:
        return "" if any(not one(value) for one in checks) else f"{value!r:.80}, expected {_named(kind)}"

    return found


def _collection(kind: Any, origin: Any, inner: tuple[Any, ...]) -> Check:
    if origin in (dict, Mapping):
        return _pairs(kind, check(inner[0]), check(inner[1]))
    # A tuple has members of one kind in all that hooks are given. A list serves as well: nothing is added to either.
    count = len(inner) if origin is tuple and inner[-1] is not Ellipsis else None
    return _each(kind, (set, frozenset) if origin is set else (list, tuple), check(inner[0]), count)


def _each(kind: Any, wanted: Any, member: Check, count: int | None = None) -> Check:
    def found(value: Any) -> str:
        if not isinstance(value, wanted) or (count is not None and len(value) != count):
            return f"{value!r:.80}, expected {_named(kind)}"
        return next((wrong for one in value if (wrong := member(one))), "")

    return found


def _pairs(kind: Any, key: Check, member: Check) -> Check:
    def found(value: Any) -> str:
        if not isinstance(value, Mapping):
            return f"{value!r:.80}, expected {_named(kind)}"
        return next((wrong for name, one in value.items() if (wrong := key(name) or member(one))), "")

    return found


def _dataclass(kind: type) -> Check:
    hints = get_type_hints(kind)
    checks = [(field.name, check(hints[field.name])) for field in fields(kind)]

    def found(value: Any) -> str:
        if not isinstance(value, kind):
            return f"{value!r:.80}, expected {kind.__name__}"
        for name, one in checks:
            if wrong := one(getattr(value, name)):
                return f"{kind.__name__}.{name} = {wrong}"
        return ""

    return found


def _named(kind: Any) -> str:
    inner = get_args(kind)
    if not inner:
        return "None" if kind is NoneType else "…" if kind is Ellipsis else getattr(kind, "__name__", str(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_named, inner))
    return f"{get_origin(kind).__name__.lower()} of {', '.join(_named(one) for one in inner if one is not Ellipsis)}"
