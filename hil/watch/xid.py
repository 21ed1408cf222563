"""Xids: what NVIDIA's Linux driver says in the kernel log when a GPU goes wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hil.hosts import LogLine

MEANINGS: Final[dict[int, str]] = {
    # After the catalogue at https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html
    13: "a shader or compute engine raised an exception: most often the program's own bad access",
    31: "the GPU touched an address that is not mapped",
    43: "a channel was stopped after a fault of its program; the GPU goes on",
    45: "work was cleaned up because its program ended or an error came before it",
    48: "two bits of memory flipped in one word: data is lost",
    61: "a microcontroller on the GPU stopped at a breakpoint or warning",
    62: "a microcontroller on the GPU halted",
    63: "a bad memory row or page was noted for replacement",
    64: "a bad memory row or page could not be noted for replacement",
    69: "an engine was given a method that its class does not have",
    74: "an NVLink reported an error",
    79: "the GPU fell off the bus: it does not answer over PCI Express any more",
    92: "single-bit memory errors come too often",
    94: "a memory error stayed within the program that met it",
    95: "a memory error spread beyond the program that met it",
    119: "the GPU's system processor (GSP) did not answer the driver in time",
    120: "the GPU's system processor (GSP) met an error of its own",
    154: "the driver changed its mind on what is needed to recover: see the text (reset, reboot, …)",
}
"""What the common numbers mean."""

_LINE: Final = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f:.]+)\): ([0-9]+)(?:, *(.*))?")
_SLOT: Final = re.compile(r"(?:([0-9a-f]+):)?([0-9a-f]{2}):([0-9a-f]{2})(?:\.[0-7])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Xid:
    """One Xid as logged."""

    time: float
    """Seconds on the host's clock."""
    pci: str
    """Domain, bus and device as logged (``0000:04:00``): the driver leaves the function number out."""
    number: int
    text: str
    """What follows the number."""

    @property
    def meaning(self) -> str:
        """What `number` means, in words; empty = not in the table."""
        return MEANINGS.get(self.number, "")

    def concerns(self, address: str) -> bool:
        """Whether it is about the function at BDF `address`."""
        return _slot(self.pci) == _slot(address)

    def __str__(self) -> str:
        return f"Xid {self.number} at {self.pci}: {self.text or self.meaning or 'no text'}"


def parse(lines: Iterable[LogLine]) -> tuple[Xid, ...]:
    """The Xids among `lines`, in their order."""
    found = ((line, _LINE.search(line.text)) for line in lines)
    return tuple(
        Xid(time=line.time, pci=match[1].lower(), number=int(match[2]), text=(match[3] or "").strip())
        for line, match in found
        if match
    )


def _slot(address: str) -> tuple[int, int, int] | str:
    match = _SLOT.fullmatch(address.lower())
    return (int(match[1] or "0", 16), int(match[2], 16), int(match[3], 16)) if match else address
