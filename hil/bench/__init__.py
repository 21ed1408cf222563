"""The bench: what hangs on it, the processes that drive its devices, their health, locks and recovery.

A device process imports of this room what its operations use: the public names are found when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hil.bench.bench import Bench
    from hil.bench.device import Device, DeviceFacts
    from hil.bench.opening import HardwareRequired, Wish, open_bench
    from hil.hosts.selection import Selection, parse

__all__ = ["Bench", "Device", "DeviceFacts", "HardwareRequired", "Selection", "Wish", "open_bench", "parse"]

_PLACES = {
    "hil.bench.bench": ("Bench",),
    "hil.bench.device": ("Device", "DeviceFacts"),
    "hil.bench.opening": ("HardwareRequired", "Wish", "open_bench"),
    "hil.hosts.selection": ("Selection", "parse"),
}


def __getattr__(name: str) -> Any:
    for place, names in _PLACES.items():
        if name in names:
            return getattr(import_module(place), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
