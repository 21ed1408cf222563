"""Whether a function answers, answers "later", or is gone: after a reset, an attach, a wake-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from hil.errors import DeviceGone, DeviceHung
from hil.hosts import wait_until
from hil.pci.base import ALL_ONES, VENDOR_ID
from hil.pci.capabilities import read_number

if TYPE_CHECKING:
    from hil.hosts import Clock
    from hil.pci.base import FunctionAccess

RETRY_VENDOR: Final = 0x0001
"""Vendor id while a function answers configuration request retry status; the device id reads 0xffff.
Source: PCI Express Base Specification 6.0, 2.3.2."""
POLL_SECONDS: Final = 0.01
"""A reset on a real kernel took 15 to 19 ms."""

Presence = Literal["ready", "retry", "gone"]


def presence(access: FunctionAccess) -> Presence:
    """Ask once: ``ready``; ``retry`` = there, but not ready to be used; ``gone`` = nobody answers."""
    try:
        return _judge(read_number(access, VENDOR_ID, 4))
    except DeviceGone:
        return "gone"


def wait_ready(access: FunctionAccess, clock: Clock, deadline: float) -> float:
    """Poll the vendor id until the function is ready.

    Args:
        access: the function.
        clock: the host's clock.
        deadline: seconds from now.

    Returns:
        Seconds that it took.

    Raises:
        DeviceHung: at the deadline it still asks to be asked again.
        DeviceGone: at the deadline nobody answers, or the way to it was cut.

    """
    begin = clock.now()
    last = ALL_ONES

    def ready() -> bool:
        nonlocal last
        last = read_number(access, VENDOR_ID, 4)
        return _judge(last) == "ready"

    if wait_until(clock, ready, deadline=deadline, interval=POLL_SECONDS):
        return clock.now() - begin
    doing = f"waiting for {access.address} to be ready"
    if _judge(last) == "retry":
        raise DeviceHung(
            f"{doing}: after {deadline:g} s vendor and device id still read {last:#010x} (retry status): "
            "the reset did not finish; only a power cycle of the enclosure is known to help",
            code=last,
            operation=doing,
        )
    raise DeviceGone(
        f"{doing}: after {deadline:g} s vendor and device id still read {last:#010x}: nobody answers; "
        "check the cable and the enclosure's supply",
        code=last,
        operation=doing,
    )


def _judge(value: int) -> Presence:
    vendor = value & 0xFFFF
    if vendor == RETRY_VENDOR:
        return "retry"
    # 0 is what some bridges answer in place of all ones.
    return "gone" if vendor in {0x0000, 0xFFFF} else "ready"
