"""The first copies after the device came back: attached, reset, woken; and the last ones before it was gone."""

from __future__ import annotations

import pytest

from hil.fixtures.copies import Copies
from hil.fixtures.hotplug import HotPlug
from hil.fixtures.reset import Reset
from hil.fixtures.sleep import Sleep
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = pytest.mark.severity("blocker")
CROSSING = ["H2D", "D2H"] * 2


def _at_once(copies: Copies, transfer: Transfer) -> None:
    """Every kind of copy: each has tables, mappings or buffers of its own that may be set up late.

    Each way by itself: what goes wrong in both the same way has gone right again after a round trip.
    """
    copies.streams(CROSSING, 4 * MIB)
    for pinned in (True, False):
        for way in ("H2D", "D2H"):
            transfer.sample(way, copies=24, pinned=pinned)
    transfer.sample("D2D", copies=24)


@pytest.mark.needs("gpu", "hotplug")
def test_the_first_copies_after_attach_are_intact(copies: Copies, transfer: Transfer, hotplug: HotPlug) -> None:
    """Unplug, plug in, and at once four streams, then small copies in the memory that a moment ago was not there.

    Small ones from pinned and from pageable memory, and within the device. Wrong data here and not elsewhere: IOMMU
    mappings, page tables or staging buffers of before the removal that are still in use.
    """
    hotplug.detach(orderly=True)
    hotplug.attach()
    _at_once(copies, transfer)


@pytest.mark.needs("gpu", "reset")
def test_the_first_copies_after_a_reset_are_intact(copies: Copies, transfer: Transfer, reset: Reset) -> None:
    """Reset, and at once four streams, then small copies: pinned, pageable, and within the device.

    A reset clears the card's own tables and caches: wrong data point at state that the driver believes is still there.
    """
    reset()
    _at_once(copies, transfer)


@pytest.mark.needs("gpu", "sleep")
def test_the_first_copies_after_sleep_are_intact(copies: Copies, transfer: Transfer, sleep: Sleep) -> None:
    """Let the host sleep and wake, and at once four streams, then small copies: pinned, pageable, within the device.

    Sleep takes the power from links, and from the IOMMU of some hosts: wrong data point at mappings that were not
    restored.
    """
    sleep()
    _at_once(copies, transfer)


@pytest.mark.needs("gpu", "hotplug")
def test_what_was_reported_as_done_before_a_removal_is_there(copies: Copies, hotplug: HotPlug) -> None:
    """Pull the cable 20 ms into copies on four streams: each that was reported as done is there, to the last byte.

    A driver that ends what is under way as success when its device is gone, or a read that returns all ones without an
    error, gives a program wrong data and no reason to doubt them.
    """
    copies.cut_off(hotplug, after=0.02)
