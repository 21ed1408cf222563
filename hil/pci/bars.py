"""What a function's BARs are: their sizes as the way to it tells them, against what its own config space says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hil.errors import DeviceGone, DriverError, NotPermitted
from hil.model import MIB, size_text
from hil.pci.capabilities import RESIZABLE_BAR, find_extended_capability, read_number

if TYPE_CHECKING:
    from hil.pci.base import FunctionAccess

# Sources: PCI Local Bus Specification 3.0, 6.2.5.1 (BARs); PCI Express Base Specification 6.0, 7.8.6 (resizable BAR).
_BAR0: Final = 0x10
_BARS: Final = 6
_IS_IO: Final = 0x1
_IS_WIDE: Final = 0x4
_PREFETCHABLE: Final = 0x8
_ALL_ONES: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One memory BAR."""

    index: int
    """0 … 5; a 64-bit one takes the next register too."""
    address: int
    """On the bus, as the register holds it."""
    size: int
    """Bytes, as the way to the function tells."""
    wide: bool
    """64-bit."""
    prefetchable: bool
    control_bytes: int | None = None
    """Bytes that its resizable-BAR control register has it at; `None` = it has none, or this user may not read it."""

    def __str__(self) -> str:
        return f"BAR {self.index}: {size_text(self.size)} at {self.address:#x}"


def memory_bars(access: FunctionAccess) -> tuple[Bar, ...]:
    """The memory BARs of a function that have a size, by index.

    Raises:
        DeviceGone: a BAR's register reads as all ones, which no BAR does.

    """
    resizable = _resizable(access)
    found, index = [], 0
    while index < _BARS:
        low = read_number(access, _BAR0 + 4 * index, 4)
        if low == _ALL_ONES:
            raise DeviceGone(
                f"the register of BAR {index} of {access.address} reads as all ones: nobody answers there",
                operation="read config space",
            )
        wide = not low & _IS_IO and bool(low & _IS_WIDE)
        size = 0 if low & _IS_IO else _size(access, index)
        if size:
            high = read_number(access, _BAR0 + 4 * index + 4, 4) if wide and index + 1 < _BARS else 0
            found.append(
                Bar(
                    index=index,
                    address=(high << 32 | low) & ~0xF,
                    size=size,
                    wide=wide,
                    prefetchable=bool(low & _PREFETCHABLE),
                    control_bytes=resizable.get(index),
                )
            )
        index += 2 if wide else 1
    return tuple(found)


def disagreements(bar: Bar) -> tuple[str, ...]:
    """What of a BAR does not fit together, one sentence each."""
    found = []
    if bar.size & (bar.size - 1):
        found.append(f"BAR {bar.index} has {bar.size:#x} bytes, which is no power of two")
    elif bar.address % bar.size:
        found.append(f"{bar}: it is not aligned to its size, so the bus decodes another range")
    if not bar.address:
        found.append(f"BAR {bar.index} holds no address: something cleared it")
    if bar.control_bytes is not None and bar.control_bytes != bar.size:
        found.append(
            f"BAR {bar.index} has {size_text(bar.size)} for the operating system and {size_text(bar.control_bytes)} "
            "in its own resizable-BAR control register"
        )
    return tuple(found)


def _size(access: FunctionAccess, index: int) -> int:
    try:
        return access.bar_size(index)
    except DriverError:  # TinyGPU refuses to map what is not there
        return 0


def _resizable(access: FunctionAccess) -> dict[int, int]:
    try:
        at = find_extended_capability(access, RESIZABLE_BAR)
        if at is None:
            return {}
        count = read_number(access, at + 8, 4) >> 5 & 0x7
        controls = [read_number(access, at + 8 + 8 * n, 4) for n in range(count)]
    except NotPermitted:
        return {}
    return {control & 0x7: MIB << (control >> 8 & 0x3F) for control in controls}
