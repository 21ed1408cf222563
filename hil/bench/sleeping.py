"""Putting the bench's host to sleep and finding its devices again: consent, the wake, and where they are then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.control.sleep import GRACE
from hil.errors import NotPermitted, says_enough

if TYPE_CHECKING:
    from collections.abc import Collection

    from hil.bench.bench import Bench
    from hil.bench.device import Device

__tracebackhide__ = says_enough
OPERATIONS = "hil.bench.operations.sleeping"


def cannot_sleep(bench: Bench) -> str:
    """Why the host must not or cannot be put to sleep; empty if it can be."""
    if not bench.allow.sleep:
        return "the bench does not allow the host to be put to sleep (allow.sleep)"
    return str(bench.host_call(f"{OPERATIONS}:cannot"))


def sleep(bench: Bench, seconds: int, keep: Collection[Device] = ()) -> float:
    """Let the host sleep for `seconds`, wait until it is back, and look where its devices are now.

    Args:
        bench: whose host.
        seconds: how long.
        keep: devices whose open session stays open, whether it can be used on or not; the others' are opened anew.

    Returns:
        Seconds of the host's clock from the order to its being back.

    Raises:
        NotPermitted: ``allow.sleep`` is not set, or the user may not.
        NotSupported: the host cannot.
        BenchFault: it did not fall asleep.
        DeviceHung: it did not come back.
        DeviceGone: a device is not there any more.

    """
    if not bench.allow.sleep:
        raise NotPermitted(
            f"bench {bench.name} does not allow its host to be put to sleep: set allow.sleep = true if it may be",
            operation="sleep",
        )
    bench.counting.provoked.append("sleep")
    bench.counting.look()  # the wake trains the link anew
    taken = bench.host_call(f"{OPERATIONS}:sleep", seconds=seconds, deadline=seconds + 2 * GRACE)
    inventory = bench.refresh()
    for device in bench.devices:
        if not device.quarantine:
            device.relocate(inventory)
            if device not in keep:
                device.renew()
    return float(taken)
