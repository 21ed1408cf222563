"""A client that dies leaves nothing behind: not its memory, not its data, not a driver that refuses the next."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.transfer import Transfer
from hil.fixtures.vram import Vram
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]


def test_memory_of_a_killed_client_is_free_again(device: Device, vram: Vram) -> None:
    """SIGKILL with memory allocated: a fresh client finds all of it free.

    A failure means that every crash of an application costs memory until the next reset.
    """
    free_before = vram.free_bytes()
    vram.imprint(64 * MIB)
    device.kill()
    assert vram.free_bytes() == free_before


def test_nobody_reads_a_killed_clients_data(device: Device, vram: Vram) -> None:
    """Fresh memory holds nothing that another process, now dead, has written.

    A failure is a leak of one user's data to another.
    """
    vram.imprint(64 * MIB)
    device.kill()
    assert vram.imprinted_pages(64 * MIB) == 0


def test_device_works_after_a_client_died_in_a_copy(device: Device, transfer: Transfer) -> None:
    """SIGKILL in the middle of copies: a fresh client opens the device and its bytes pass.

    A failure means copy engines that go on into freed memory, or a driver that waits for the dead.
    """
    running = device.submit("transfer:repeat", deadline=60.0, nbytes=64 * MIB, copies=64, epoch=1)
    running.begun()
    device.kill()
    transfer.round_trip(16 * MIB)


@pytest.mark.quick
def test_device_opens_again_and_again(device: Device, transfer: Transfer) -> None:
    """Ten times open, copy, close.

    Some cards boot their firmware once only: the second open dies, and nothing but a power cycle helps.
    """
    for _ in range(10):
        device.close_session()
        transfer.round_trip(4096)
