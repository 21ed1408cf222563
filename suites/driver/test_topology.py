"""Several devices on one host: whatever is done to one of them, the others stay what and where they are."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.hotplug import HotPlug
from hil.fixtures.identity import Identity
from hil.fixtures.neighbours import Neighbours
from hil.fixtures.removal import Removal, Taking
from hil.fixtures.topology import Topology
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]
MEANWHILE = 0.027
"""Seconds into the neighbours' copies: they take 30 ms on the fastest kind of link, and what they send first, older
data that are overwritten, takes 27 ms on the slowest."""


@pytest.mark.needs("hotplug")
def test_only_what_hangs_on_the_cable_goes_and_all_of_it_comes_back(
    hotplug: HotPlug, topology: Topology, identity: Identity
) -> None:
    """Nothing but the enclosure, and what hangs behind it in its chain, leaves; then all is there again, and driven.

    A failure means a tunnel set up for the first enclosure of a chain only, or a card that answers for another.
    """
    before = topology.now()
    hotplug.detach(orderly=True)
    topology.must_lack_its_enclosure(before)
    hotplug.attach()
    topology.must_be(before)
    identity.must_be_driven()


@pytest.mark.needs("hotplug", "second device")
def test_a_replug_leaves_other_devices_and_their_memory_alone(hotplug: HotPlug, neighbours: Neighbours) -> None:
    """Every other device holds a pattern of its own in an open session, while this one is pulled and plugged in.

    In the moment of the pull they copy, too. A failure means that the drivers' view of the cards slipped by one: the
    wrong card was torn down, or its copies were.
    """
    neighbours.mark()
    with hotplug.pulling(after=MEANWHILE, opened=True):
        neighbours.begin_copies(64 * MIB, pieces=32)
    neighbours.copies_must_be_intact("while this one was pulled")
    hotplug.attach()
    neighbours.must_be_untouched("a re-plug")


@pytest.mark.needs("second device")
@pytest.mark.parametrize(
    "way",
    [
        pytest.param("unbind", marks=pytest.mark.needs("unbind")),
        pytest.param("remove", marks=pytest.mark.needs("remove")),
        pytest.param("revoke", marks=pytest.mark.needs("revocation")),
    ],
)
def test_what_is_taken_leaves_other_devices_and_their_memory_alone(
    removal: Removal, neighbours: Neighbours, way: Taking
) -> None:
    """As above, while the kernel takes this one from its driver, from the bus or from the tunnel, and gives it back.

    They share all three. A failure means that one of them counts its devices, and was one off.
    """
    neighbours.mark()
    removal.take(way)
    removal.give(way)
    neighbours.must_be_untouched(f"this one's {way}")


@pytest.mark.needs("reset", "second device")
def test_a_reset_leaves_other_devices_and_their_memory_alone(device: Device, neighbours: Neighbours) -> None:
    """As above, while this one is reset. A bus reset that reaches further than its bus shows here."""
    neighbours.mark()
    device.reset()
    neighbours.must_be_untouched("a reset")
