"""The one way facts become builtin types and back: between processes, and in JSON for users."""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_dict(fact: Any) -> Any:
    """`fact` (a frozen dataclass, or a container of such) in dicts, lists, strings, numbers, booleans and `None`."""
    if is_dataclass(fact) and not isinstance(fact, type):
        return {f.name: to_dict(getattr(fact, f.name)) for f in fields(fact)}
    if isinstance(fact, Enum):
        return fact.value
    if isinstance(fact, dict):
        return {key: to_dict(value) for key, value in fact.items()}
    if isinstance(fact, (tuple, list)):
        return [to_dict(value) for value in fact]
    return fact


def from_dict(kind: type[T], data: Any) -> T:
    """Rebuild the fact of type `kind` that `to_dict` described; unknown keys (a newer sender's) are ignored.

    Raises:
        TypeError: a key without default is missing.

    """
    known = _hints(cast("Any", kind))  # a type is hashable, whatever its metaclass might say
    return kind(**{key: _value(known[key], value) for key, value in data.items() if key in known})


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        kind = next(part for part in get_args(kind) if part is not type(None))
        return _value(kind, value)
    if origin is tuple:
        return tuple(_value(get_args(kind)[0], item) for item in value)
    if isinstance(kind, type) and is_dataclass(kind):
        return from_dict(kind, value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return value
