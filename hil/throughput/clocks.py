"""Whether the device's clock and the host's tell the same of a copy; that they do not is a finding of its own."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from hil.model import MIB, size_text

if TYPE_CHECKING:
    from hil.throughput.samples import Samples

LARGE = 64 * MIB
"""Bytes of a copy from which on its fixed costs, which only the host sees, must not show."""
HOST_MORE, HOST_FIXED = 2.0, 0.020
"""The host may see so many times the device's seconds, and so many more: submission, waking up, a busy host."""
DEVICE_MORE, DEVICE_FIXED = 1.02, 0.0005
"""The device may see so much more than the host, which times the whole: what two clocks differ by."""


def disagreement(samples: Samples) -> str:
    """What is wrong between the two clocks over `samples`, in words; empty if nothing is, or it cannot be said.

    Judged on medians, and only where the engine has device time and copies are of `LARGE` bytes and more.
    """
    if not samples.device_time or samples.nbytes < LARGE:
        return ""
    device, host = median(samples.seconds), median(samples.host_seconds)
    what = (
        f"{samples.direction} {size_text(samples.nbytes)}: the device's clock tells {1e3 * device:.4g} ms a copy, the "
    )
    what += f"host's {1e3 * host:.4g} ms"
    if device > DEVICE_MORE * host + DEVICE_FIXED:
        return f"{what}: a part took longer than the whole, so the device's clock runs fast or its marks are wrong"
    if host > HOST_MORE * device + HOST_FIXED:
        return (
            f"{what}, expected at most {1e3 * (HOST_MORE * device + HOST_FIXED):.4g} ms: the copy is done long before "
            "the host hears of it, or the device's clock runs slow"
        )
    return ""
