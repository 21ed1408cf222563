"""Plugged-in parts by entry point: copy engines, actuators, discovery sources, faults."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hil.errors import UsageError


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(group: str) -> list[str]:
    """Names registered under `group` (``hil.copy_engines``, ``hil.actuators``, …), sorted."""
    return sorted(_points(group))


def load(group: str, name: str) -> Any:
    """The object registered as `name` under `group`.

    Raises:
        UsageError: nothing of that name is registered, or importing it failed; says which names are.

    """
    point = _points(group).get(name)
    if point is None:
        raise UsageError(f"{group}: no {name!r} is registered; known: {', '.join(names(group)) or 'none'}")
    try:
        return point.load()
    except ImportError as error:
        raise UsageError(f"{group}: {name!r} ({point.value}) cannot be imported: {error}") from error
