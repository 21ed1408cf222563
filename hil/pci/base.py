"""What can be asked of one PCI function: config space, BARs, reset."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

VENDOR_ID = 0x00
"""Config space, device id in the upper half. Source: PCI Local Bus Specification 3.0, 6.1."""
COMMAND = 0x04
COMMAND_MEMORY = 0x0002
"""Memory decoding: while it is off, every BAR reads all ones."""
ALL_ONES = 0xFFFFFFFF
"""What the bus answers for a function that does not."""
DEFAULT_RESET = "default"
"""The reset that the operating system or the driver chooses itself."""


@runtime_checkable
class FunctionAccess(Protocol):
    """One open PCI function. Not to be used by two threads at once.

    Values are little endian, as the bus has them. Any method raises `DeviceGone` once the way to the
    function is cut (its sysfs folder vanished, the TinyGPU server exited); a function that fell off the bus
    with its way still open answers all ones and raises nothing: see `hil.pci.presence`.
    """

    address: str
    """BDF of the function."""

    def config_read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of config space.

        Raises:
            NotPermitted: this user may not read so far.
            NotSupported: the function's config space is not so large.
            DriverError: the driver refused.

        """
        ...

    def config_write(self, offset: int, data: bytes) -> None:
        """Write `data` to config space.

        Raises:
            NotPermitted: this user may not.
            DriverError: the driver refused.

        """
        ...

    def bar_size(self, bar: int) -> int:
        """Size of a BAR (0 … 5) in bytes; 0 = there is none."""
        ...

    def mmio_read(self, bar: int, offset: int, size: int) -> bytes:
        """Exactly `size` bytes of a BAR, in 32-bit accesses where offset and size allow it.

        Raises:
            ValueError: the range leaves the BAR.
            NotPermitted: this user may not.
            DriverError: the driver refused.

        """
        ...

    def mmio_write(self, bar: int, offset: int, data: bytes) -> None:
        """Write `data` to a BAR. Writes are posted: that it came back does not say that it arrived.

        Raises:
            ValueError: the range leaves the BAR.
            NotPermitted: this user may not.
            DriverError: the driver refused.

        """
        ...

    def reset(self, kind: str | None = None) -> None:
        """Reset the function; comes back when the driver says it is done. Whether it is ready: `wait_ready`.

        Args:
            kind: one of `reset_kinds`; `None` = the default one.

        Raises:
            NotSupported: the function has no such reset.
            NotPermitted: this user may not.
            DriverError: the reset failed.

        """
        ...

    def reset_kinds(self) -> tuple[str, ...]:
        """Resets to ask for: ``flr``, ``bus``, …, or ``default`` where there is no choice; empty = none."""
        ...

    def close(self) -> None:
        """Let go of the function; never raises for one that is gone."""
        ...


def check_range(bar: int, bar_size: int, offset: int, size: int) -> None:
    """Refuse an access that leaves its BAR: the far end would drop it without a word.

    Raises:
        ValueError: names BAR, its size and the range.

    """
    if offset < 0 or size < 0 or offset + size > bar_size:
        raise ValueError(f"BAR {bar} has {bar_size:#x} bytes; {size:#x} bytes at {offset:#x} leave it")
