"""Driver calls one by one: none reports success without effect, none hangs."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.calls import Calls

pytestmark = [pytest.mark.severity("critical"), pytest.mark.quick]
CALLS = (
    "allocation",
    "host_allocation",
    "upload",
    "download",
    "move",
    "synchronization",
    "timing",
)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_succeeds_has_its_effect(calls: Calls, call: str) -> None:
    """Each call alone, under a deadline of two seconds, and then a look whether what it promises has happened.

    Alloc: free memory goes down by as much, and free brings it back. Host alloc: memory that keeps what is written
    to it. H2D, D2H, D2D: the bytes are where they were copied to, which held others before. Synchronize: bytes and
    events are there when it comes back. Events: a copy takes time, and no more than the host saw pass.

    A failure is a driver that swallows an error, or waits for an interrupt that never comes: programs then compute
    with old data, or stop for ever. The message names the call.
    """
    calls.effect(call)


@pytest.mark.parametrize("call", ["opening", "closing"])
def test_open_and_close_have_their_effect(device: Device, calls: Calls, call: str) -> None:
    """Open: the device answers under its own name. Close: all its memory is free for the next, itself refuses to work.

    A failure to open again is known of cards that boot their firmware once only; one at close is a leak that lasts
    until the next reset.
    """
    calls.effect(call, deadline=device.bench.deadlines.open)
