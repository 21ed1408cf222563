"""What there is to see of a device that is not well: registers, link, and what the kernel logged meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.errors import HilError
from hil.model import Gpu, from_dict
from hil.pci import negotiated_link, open_function
from hil.watch import Mark, begin, since

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.bench.worker import Context
    from hil.pci import FunctionAccess

LINES = 40
"""Of the kernel log that are kept, the last ones: a driver that has lost its GPU logs thousands."""
_MARK = "evidence mark"
_COMMAND, _BAR0, _BARS = 0x04, 0x10, 6
"""Offsets in config space (PCI Local Bus Specification 3.0, 6.1)."""


def look(context: Context, *, gpu: dict[str, Any]) -> dict[str, str]:
    """Vendor and device id, COMMAND, BARs and link as they read now; what cannot be read says why."""
    try:
        access = open_function(context.host, from_dict(Gpu, gpu))
    except (HilError, OSError) as error:
        return {"registers": f"cannot be reached: {error}"}
    try:
        return {name: _told(read, access) for name, read in _READINGS.items()}
    finally:
        access.close()


def watch(context: Context) -> None:
    """Remember the end of the kernel log as it is now."""
    context.state[_MARK] = begin(context.host, ())


def seen(context: Context) -> list[str]:
    """What the kernel has logged since `watch` about GPUs and the way to them; at the most the last `LINES` lines."""
    mark = context.state.pop(_MARK, None)
    if not isinstance(mark, Mark):
        return []
    found = since(context.host, mark)
    lines = [f"{line.time:.3f} {line.text}" for line in found.relevant]
    left_out = [f"[{len(lines) - LINES} lines before these]"] if len(lines) > LINES else []
    return [*found.problems, *left_out, *lines[-LINES:]]


def _told(read: Callable[[FunctionAccess], str], access: FunctionAccess) -> str:
    try:
        return read(access)
    except (HilError, OSError) as error:
        return f"cannot be read: {error}"


def _register(access: FunctionAccess, offset: int, size: int) -> str:
    return f"0x{int.from_bytes(access.config_read(offset, size), 'little'):0{2 * size}x}"


def _bars(access: FunctionAccess) -> str:
    return " ".join(_register(access, _BAR0 + 4 * bar, 4) for bar in range(_BARS))


_READINGS: dict[str, Callable[[FunctionAccess], str]] = {
    "vendor and device id": lambda access: _register(access, 0, 4),
    "COMMAND": lambda access: _register(access, _COMMAND, 2),
    "BARs": _bars,
    "link": lambda access: str(negotiated_link(access)),
}
