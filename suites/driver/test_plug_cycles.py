"""Plugged in again and again: nothing wears out and nothing is left behind."""

from __future__ import annotations

import pytest

from hil.fixtures.hotplug import HotPlug
from hil.fixtures.identity import Identity
from hil.fixtures.leftovers import Leftovers
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "hotplug"), pytest.mark.severity("critical")]


@pytest.mark.parametrize("cycles", [6, pytest.param(50, marks=pytest.mark.soak)])
def test_plug_cycles_leave_nothing_behind(
    hotplug: HotPlug, leftovers: Leftovers, identity: Identity, transfer: Transfer, cycles: int
) -> None:
    """Pulled in turn with and without a client, plugged in, opened, copied to; at the end everything is as before.

    Compared are free device memory, descriptors and memory of the client, processes of the drivers on the host, nodes,
    and the inventory. Docks are known that work for a week of commuting and then need a restart of the host.
    """
    transfer.round_trip(MIB)
    before, held = identity.now(), leftovers.now()
    for cycle in range(cycles):
        hotplug.detach(orderly=cycle % 2 == 0)
        hotplug.attach()
        transfer.round_trip(MIB)
    leftovers.must_be_none(held, cycles=cycles)
    identity.must_be(before, f"{cycles} plug cycles")
