"""Copy engines: one driver each, all with the same promises; found by entry point."""

from __future__ import annotations

from hil import registry
from hil.copy.base import CopyEngine, DeviceBuffer, EngineDevice, HostBuffer, Mark, Rows
from hil.errors import UsageError

GROUP = "hil.copy_engines"

__all__ = ["GROUP", "CopyEngine", "DeviceBuffer", "EngineDevice", "HostBuffer", "Mark", "Rows", "engine", "engines"]


def engines() -> list[str]:
    """Names of all registered copy engines, sorted."""
    return registry.names(GROUP)


def engine(name: str) -> type[CopyEngine]:
    """The copy engine registered as `name`.

    Raises:
        UsageError: there is none of that name, it cannot be imported, or it is no copy engine.

    """
    found = registry.load(GROUP, name)
    if not (isinstance(found, type) and issubclass(found, CopyEngine)):
        raise UsageError(f"{GROUP}: {name!r} is {found!r}, not a subclass of hil.copy.CopyEngine")
    return found
