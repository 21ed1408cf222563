"""The registers that tell which chip answers, and whether one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import DeviceGone, DriverError
from hil.hosts.wires.tinygpu import BOOT_0, BOOT_42
from hil.pci.base import ALL_ONES, COMMAND, COMMAND_MEMORY, VENDOR_ID
from hil.pci.capabilities import read_number

if TYPE_CHECKING:
    from hil.pci.base import FunctionAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipIdentity:
    """What NV_PMC_BOOT_0 and NV_PMC_BOOT_42 read."""

    boot_0: int
    boot_42: int

    @property
    def chip_id(self) -> int:
        """Architecture and implementation (BOOT_42 bits 28:20), e.g. 0x192 for an AD102."""
        return self.boot_42 >> 20 & 0x1FF


def identify(access: FunctionAccess) -> ChipIdentity:
    """Read the chip's identity from BAR 0; does not disturb a driver.

    Raises:
        DeviceGone: all ones: the GPU is off the bus. (A driver that takes them for a chip shows other errors:
            tinygrad raises ``KeyError: 63``.)
        DriverError: the GPU answers, but its memory decoding is off: something cleared its config space.

    """
    doing = f"identifying the chip at {access.address}"
    identity = read_number(access, VENDOR_ID, 4)
    if identity == ALL_ONES:
        raise DeviceGone(f"{doing}: config space reads all ones: off the bus", code=identity, operation=doing)
    if not read_number(access, COMMAND, 2) & COMMAND_MEMORY:
        raise DriverError(
            f"{doing}: config space answers ({identity:#010x}) but memory decoding is off; "
            "a reset or a sleep cleared COMMAND: restore the config space first",
            operation=doing,
        )
    boot_0 = int.from_bytes(access.mmio_read(0, BOOT_0, 4), "little")
    boot_42 = int.from_bytes(access.mmio_read(0, BOOT_42, 4), "little")
    if ALL_ONES in (boot_0, boot_42):
        raise DeviceGone(
            f"{doing}: BOOT_0 reads {boot_0:#010x} and BOOT_42 {boot_42:#010x}: off the bus; replug",
            code=boot_0,
            operation=doing,
        )
    return ChipIdentity(boot_0=boot_0, boot_42=boot_42)
