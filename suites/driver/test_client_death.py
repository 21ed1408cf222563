"""A client that dies leaves nothing behind: not its memory, not its data, not a driver that refuses the next."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.client import Client
from hil.fixtures.telemetry import Telemetry
from hil.fixtures.transfer import Transfer
from hil.fixtures.vram import Vram
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]
DRAGS = 4
"""Times as long as the others that an open may take, and a second more: firmware boots in the same time each time."""
WATCHED = 10.0
"""Seconds after a death: an IOMMU that complains once a second does so several times."""


def test_a_killed_client_leaves_neither_its_memory_nor_its_data(device: Device, vram: Vram) -> None:
    """SIGKILL with memory allocated and filled: a fresh client finds all of it free, and nothing of it in what it gets.

    A failure means that every crash of an application costs memory until the next reset, or that one user's data
    reaches another.
    """
    free_before = vram.free_bytes()
    vram.imprint(8 * MIB)
    device.kill()
    free = vram.free_bytes()
    assert free == free_before, f"driver: free after a client was killed: expected {free_before} bytes, seen {free}"
    pages = vram.imprinted_pages(8 * MIB)
    assert pages == 0, f"device: fresh memory: expected no page of a killed client's, seen {pages} of 2048"


def test_device_works_after_a_client_died_in_a_copy(client: Client, telemetry: Telemetry, transfer: Transfer) -> None:
    """SIGKILL in the middle of copies both ways: the host is quiet, a fresh client opens the device, its bytes pass.

    A failure means copy engines that go on into freed memory, or a driver that waits for the dead. On Macs the IOMMU
    then complains once a second.
    """
    client.open()
    client.begin_load()
    client.kill()
    telemetry.must_be_quiet("a client's death", seconds=WATCHED)
    transfer.round_trip(4 * MIB)


def test_device_works_for_a_fresh_client_beside_one_that_faulted(client: Client, transfer: Transfer) -> None:
    """A client makes every wrong call that could reach the device; a fresh one beside it knows nothing of that.

    A driver that keeps a fault in the device, not in the client that made it, is one that must be reset by hand.
    """
    client.open()
    for call in ("copy to freed memory", "offset past the end", "allocate more than there is", "free twice"):
        client.provoke(call)
    transfer.round_trip(MIB)


@pytest.mark.quick
def test_device_opens_again_and_again(device: Device, transfer: Transfer) -> None:
    """Ten times open, copy, close; none of them drags.

    Some cards boot their firmware once only: the second open dies, and nothing but a power cycle helps. One that takes
    seconds now and then is a driver that waits for something that it missed.
    """
    took: list[float] = []
    for _ in range(10):
        device.close_session()
        took.append(device.call("session:opened_in"))
        transfer.round_trip(4096)
    took.sort()
    usual, longest = took[2], took[-1]  # of the quickest: half of them may drag
    assert longest <= DRAGS * usual + 1.0, (
        f"{device.alias}: expected opens to take about {usual:.3g} s, as the quickest did, seen one of {longest:.3g} s"
    )
