"""What the copy engines of a host can open; each asked in a process of its own: loading a driver may hang or crash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hil import registry
from hil.bench.messages import full_name
from hil.copy import EngineDevice
from hil.errors import HilError
from hil.model import from_dict

if TYPE_CHECKING:
    from hil.bench.inline import InlineProcess
    from hil.bench.process import DeviceProcess

ENUMERATION_DEADLINE = 60.0
"""Seconds; PoCL compiles its built-in kernels at its very first start."""


def engine_names(*, simulated: bool) -> list[str]:
    """Copy engines that can open anything on such a host."""
    return ["simulated"] if simulated else [name for name in registry.names("hil.copy_engines") if name != "simulated"]


def ask(
    names: Iterable[str], start: Callable[[str], DeviceProcess | InlineProcess]
) -> tuple[dict[str, list[EngineDevice]], list[str]]:
    """Ask each engine for its devices.

    Args:
        names: of the engines.
        start: starts a process of that name on the host under test.

    Returns:
        Devices by engine; what went wrong, one sentence each.

    """
    offers: dict[str, list[EngineDevice]] = {}
    problems: list[str] = []
    for name in names:
        offers[name] = []
        try:
            process = start(f"enumerate-{name}")
            try:
                found: list[Any] = process.call(full_name("session:devices"), deadline=ENUMERATION_DEADLINE, name=name)
            finally:
                process.close()
        except HilError as error:
            problems.append(f"copy engine {name} could not look for devices: {error}")
        else:
            offers[name] = [from_dict(EngineDevice, facts) for facts in found]
    return offers, problems
