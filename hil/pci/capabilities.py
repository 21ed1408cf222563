"""Walking the capability list of a function, and what its PCI Express capability says about the link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.errors import DriverError, NotPermitted, NotSupported
from hil.model import PcieLink
from hil.pci.base import ALL_ONES

if TYPE_CHECKING:
    from hil.pci.base import FunctionAccess

# Source: PCI Express Base Specification 6.0, 7.5.1 (header) and 7.5.3 (PCI Express capability).
PCI_EXPRESS: Final = 0x10
"""Capability id."""
DEVICE_CONTROL: Final = 0x08
LINK_CAPABILITIES: Final = 0x0C
LINK_CONTROL: Final = 0x10
LINK_STATUS: Final = 0x12
DEVICE_CONTROL_2: Final = 0x28
LINK_CONTROL_2: Final = 0x30
_STATUS, _HAS_CAPABILITIES, _FIRST = 0x06, 0x0010, 0x34
_MOST: Final = 48  # capabilities are 4-aligned in the 192 bytes behind the header
_EXTENDED: Final = 0x100
_MOST_EXTENDED: Final = 480  # of 8 bytes each, in the 3840 bytes from there on
RESIZABLE_BAR: Final = 0x0015
"""Extended capability id (7.8.6)."""
SERIAL_NUMBER: Final = 0x0003
"""Extended capability id (7.9.3)."""
ERROR_REPORTING: Final = 0x0001
"""Extended capability id (7.8.4)."""
_GTS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}
_WIDTHS = {1, 2, 4, 8, 12, 16, 32}


def read_number(access: FunctionAccess, offset: int, size: int) -> int:
    """`size` bytes of config space as an unsigned number."""
    return int.from_bytes(access.config_read(offset, size), "little")


def find_capability(access: FunctionAccess, identity: int) -> int | None:
    """Offset of the first capability with id `identity`; `None` = there is none, or nobody answers."""
    status = read_number(access, _STATUS, 2)
    if status == 0xFFFF or not status & _HAS_CAPABILITIES:  # noqa: PLR2004  (all ones)
        return None
    at = read_number(access, _FIRST, 1) & 0xFC
    for _ in range(_MOST):  # a damaged list may be a ring
        if at == 0:
            return None
        entry = read_number(access, at, 2)
        if entry & 0xFF == identity:
            return at
        at = entry >> 8 & 0xFC
    return None


def find_extended_capability(access: FunctionAccess, identity: int) -> int | None:
    """Offset of the first extended capability with id `identity`; `None` = there is none.

    Raises:
        NotPermitted: this user may not read so far.

    """
    at = _EXTENDED
    for _ in range(_MOST_EXTENDED):
        try:
            head = read_number(access, at, 4)
        except (NotSupported, DriverError):  # config space ends at 256 bytes
            return None
        if head in {0, ALL_ONES}:
            return None
        if head & 0xFFFF == identity:
            return at
        at = head >> 20 & 0xFFC
        if at < _EXTENDED:
            return None
    return None


def serial_number(access: FunctionAccess) -> str | None:
    """The device serial number, 16 hexadecimal digits; `None` if it has none, or this user may not read it."""
    try:
        at = find_extended_capability(access, SERIAL_NUMBER)
    except NotPermitted:
        return None
    return None if at is None else f"{read_number(access, at + 4, 8):016x}"


def negotiated_link(access: FunctionAccess) -> PcieLink:
    """The link as trained now (LnkSta). An idle NVIDIA GPU says 2.5 GT/s: no verdict on it without load."""
    return _link(access, LINK_STATUS, 2)


def maximum_link(access: FunctionAccess) -> PcieLink:
    """The best the function can (LnkCap)."""
    return _link(access, LINK_CAPABILITIES, 4)


def decode_link(register: int) -> PcieLink:
    """Speed (bits 3:0) and width (bits 9:4) of LnkSta or LnkCap; `None` for reserved values ("no link")."""
    width = register >> 4 & 0x3F
    return PcieLink(gts=_GTS.get(register & 0xF), width=width if width in _WIDTHS else None)


def _link(access: FunctionAccess, register: int, size: int) -> PcieLink:
    at = find_capability(access, PCI_EXPRESS)
    return decode_link(0 if at is None else read_number(access, at + register, size))
