"""``hil faults``: what can be made to go wrong on a simulated machine."""

from __future__ import annotations

import enum
import json
import math
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from hil import registry
from hil.errors import UsageError
from hil.sim.faults import choice
from hil.sim.faults.base import Fault, Trigger

_NAMES = {float: "number", int: "whole number", bool: "true or false", str: "text"}


def show(*, as_json: bool) -> None:
    """Print every registered fault; one that cannot be loaded is a line on standard error."""
    found: dict[str, type[Fault]] = {}
    for name in registry.names(choice.GROUP):
        try:
            found[name] = choice.named(name)[0]
        except UsageError as error:
            click.echo(f"hil: {error}", err=True)
    if as_json:
        click.echo(json.dumps({"faults": [facts(name, kind) for name, kind in found.items()]}, indent=2))
        return
    for domain in dict.fromkeys(kind.domain for kind in found.values()):
        click.echo(f"{domain}:")
        for name, kind in found.items():
            if kind.domain == domain:
                for line in _lines(name, kind):
                    click.echo(line)
    click.echo("every fault:")
    for line in _parameters(Trigger, set()):
        click.echo(line)


def facts(name: str, kind: type[Fault]) -> dict[str, Any]:
    """The JSON of one fault; documented in docs/json.md."""
    return {
        "name": name,
        "domain": kind.domain,
        "story": kind.story,
        "seen_by": kind.seen_by,
        "control": kind.control,
        "unscored": kind.unscored,
        "parameters": [_parameter(key, field) for key, field in kind.Parameters.model_fields.items()],
    }


def _parameter(name: str, field: FieldInfo) -> dict[str, Any]:
    lowest, highest = _bound(field, "ge", "gt"), _bound(field, "le", "lt")
    return {
        "name": name,
        "type": _type(field.annotation),
        "default": _plain(field.get_default(call_default_factory=True) if not field.is_required() else None),
        "minimum": lowest,
        "maximum": highest,
        "description": field.description or "",
    }


def _bound(field: FieldInfo, *names: str) -> Any:
    found = (getattr(part, name, None) for part in field.metadata for name in names)
    return next((_plain(bound) for bound in found if bound is not None), None)


def _type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return " or ".join(_type(part) for part in parts)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return ", ".join(str(member.value) for member in annotation)
    if args := get_args(annotation):  # a Literal
        return ", ".join(map(str, args))
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _plain(value: Any) -> Any:
    """As JSON can say it, which knows no infinity."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _lines(name: str, kind: type[Fault]) -> Iterator[str]:
    standing = ", a negative control" if kind.control else ""
    standing += f", not scored yet: {kind.unscored}" if kind.unscored else ""
    seen = f"seen by {kind.seen_by}" if not kind.control else "seen by none"
    yield f"  {click.style(name, bold=True)} ({seen}{standing})"
    yield f"    {kind.story}"
    yield from _parameters(kind.Parameters, set(Trigger.model_fields))


def _parameters(model: type[Trigger], known: set[str]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        # One that every fault has is told here only where this one means something else by it.
        if name in known and field.default == Trigger.model_fields[name].default:
            continue
        one = _parameter(name, field)
        default = "none" if one["default"] is None else one["default"]
        yield f"      {name}={default}  {one['type']}{_range(one, field)}: {one['description']}"


def _range(one: dict[str, Any], field: FieldInfo) -> str:
    """As words; a bound that is refused itself is told as such."""
    lowest, highest = one["minimum"], one["maximum"]
    above = "above " if _bound(field, "gt") is not None else ""
    below = "below " if _bound(field, "lt") is not None else ""
    match lowest, highest:
        case None, None:
            return ""
        case _, None:
            return f" {above or 'from '}{lowest}"
        case None, _:
            return f" {below or 'up to '}{highest}"
    return f" {above}{lowest} … {below}{highest}"
