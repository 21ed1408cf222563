"""Error bits in a function's own config space: what tells of link errors where the operating system counts none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.pci.capabilities import ERROR_REPORTING, PCI_EXPRESS, find_capability, find_extended_capability, read_number

if TYPE_CHECKING:
    from hil.pci.base import FunctionAccess

# Source: PCI Express Base Specification 6.0, 7.5.3.5 (device status), 7.8.4 (advanced error reporting). All of these
# bits stay until somebody writes a one to them.
_DEVICE_STATUS: Final = 0x0A
_UNCORRECTABLE, _CORRECTABLE = 0x04, 0x10
_DEVICE_BITS: Final = {0: "corrected error", 1: "non-fatal error", 2: "fatal error"}
_CORRECTABLE_BITS: Final = {
    0: "RxErr",
    6: "BadTLP",
    7: "BadDLLP",
    8: "Rollover",
    12: "Timeout",
    15: "HeaderOF",
}
_UNCORRECTABLE_BITS: Final = {
    4: "DLP",
    5: "SDES",
    12: "TLP",
    13: "FCP",
    14: "CmpltTO",
    15: "CmpltAbrt",
    16: "UnxCmplt",
    17: "RxOF",
    18: "MalfTLP",
    19: "ECRC",
}
"""The kernel's names, as in ``aer_dev_correctable``. An unsupported request or an advisory error alone is a question
that software asked wrongly, and no fault of a link."""


CORRECTED: Final = frozenset({_DEVICE_BITS[0], *_CORRECTABLE_BITS.values()})
"""Names of errors that cost time and no data."""


def error_bits(access: FunctionAccess) -> tuple[str, ...]:
    """Names of the errors that the function has noticed since its bits were cleared."""
    return tuple(
        name
        for at, size, bits in _registers(access)
        for value in [read_number(access, at, size)]
        if value != (1 << 8 * size) - 1  # all ones: nobody answers, which is another finding
        for bit, name in bits.items()
        if value >> bit & 1
    )


def clear_error_bits(access: FunctionAccess) -> None:
    """Clear them, so that the next one shows.

    Raises:
        NotPermitted: this user may not write config space.

    """
    for at, size, bits in _registers(access):
        access.config_write(at, sum(1 << bit for bit in bits).to_bytes(size, "little"))


def _registers(access: FunctionAccess) -> list[tuple[int, int, dict[int, str]]]:
    """Offset, bytes and bits of the registers that there are."""
    found: list[tuple[int, int, dict[int, str]]] = []
    express = find_capability(access, PCI_EXPRESS)
    if express is not None:
        found.append((express + _DEVICE_STATUS, 2, _DEVICE_BITS))
    aer = find_extended_capability(access, ERROR_REPORTING)
    if aer is not None:
        found += [(aer + _CORRECTABLE, 4, _CORRECTABLE_BITS), (aer + _UNCORRECTABLE, 4, _UNCORRECTABLE_BITS)]
    return found
