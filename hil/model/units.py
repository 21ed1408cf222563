"""Units and directions: binary sizes, decimal rates."""

from __future__ import annotations

from enum import StrEnum

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
GB = 10**9
"""Rates are shown in decimal GB/s and nothing else: that is what links and GPUs are sold in."""


class Direction(StrEnum):
    """Where a copy goes: host to device, device to host, device to device."""

    H2D = "H2D"
    D2H = "D2H"
    D2D = "D2D"


def decimal_gb_s(rate: float) -> str:
    """`rate` in bytes/s as text in decimal GB/s."""
    return f"{rate / GB:.2f} GB/s"


def size_text(nbytes: int) -> str:
    """`nbytes` in the largest binary unit that divides it, e.g. ``64 KiB``, ``1025 B``."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if nbytes and nbytes % unit == 0:
            return f"{nbytes // unit} {name}"
    return f"{nbytes} B"
