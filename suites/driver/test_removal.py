"""{pull, unbind, remove} × {nothing open, open, open under load} × {closed before, closed after it is back}."""

from __future__ import annotations

import pytest

from hil.bench import Bench
from hil.fixtures.announcements import Announcements
from hil.fixtures.client import Client
from hil.fixtures.identity import Identity
from hil.fixtures.removal import Removal, Taking
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]
PULL, UNBIND, REMOVE = (pytest.mark.needs(need) for need in ("hotplug", "unbind", "remove"))


# Pulled with nothing open: tests of hot plug.
@pytest.mark.parametrize("way", [pytest.param("unbind", marks=UNBIND), pytest.param("remove", marks=REMOVE)])
def test_device_works_after_it_was_taken_with_nothing_open(
    removal: Removal, identity: Identity, transfer: Transfer, way: Taking
) -> None:
    """The kernel takes it from its driver, or from the bus, and gives it back: bytes pass.

    A failure means that the driver does not undo at removal what it did at probe, so that it works once a boot.
    """
    before = identity.now()
    removal.take(way)
    removal.give(way)
    identity.must_be(before, f"the {way}")
    transfer.round_trip(MIB)


@pytest.mark.parametrize("way", [pytest.param("pull", marks=PULL), pytest.param("unbind", marks=UNBIND)])
def test_a_client_that_closes_while_it_is_away_is_no_hindrance(
    client: Client, removal: Removal, transfer: Transfer, way: Taking
) -> None:
    """A client has it open when it is taken, and closes before it is back: closing returns, and a fresh client works.

    A failure means a driver that cannot clean up after a device that does not answer.
    """
    client.open()
    with removal.taking(way):
        pass
    client.close()
    removal.give(way)
    client.open()
    transfer.round_trip(MIB)


@pytest.mark.parametrize("way", [pytest.param("pull", marks=PULL), pytest.param("unbind", marks=UNBIND)])
def test_a_client_that_stays_open_is_refused_beside_a_fresh_one_that_works(
    client: Client, removal: Removal, transfer: Transfer, way: Taking
) -> None:
    """A client has it open when it is taken and is still there when it is back: each of its calls fails with a code.

    Success would be somebody else's memory, or none; a hang is an application that has to be killed.
    """
    client.open()
    with removal.taking(way):
        pass
    removal.give(way)
    client.must_be_refused(f"the {way}")
    transfer.round_trip(MIB)
    client.close()
    transfer.round_trip(MIB)


@pytest.mark.parametrize("way", [pytest.param("pull", marks=PULL), pytest.param("unbind", marks=UNBIND)])
def test_copies_under_way_end_with_an_error_and_a_fresh_client_works(
    client: Client, removal: Removal, transfer: Transfer, way: Taking
) -> None:
    """Copies run both ways when it is taken: they end with an error, their client closes, and a fresh one works.

    Field reports: Xid 79 under load, GPU_IS_LOST storms, and a machine that must be restarted.
    """
    client.open()
    with removal.taking(way):
        client.begin_load()
    client.load_must_fail(f"the {way}")
    client.close()
    removal.give(way)
    client.open()
    transfer.round_trip(MIB)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("pull", marks=[PULL, pytest.mark.quick]),
        pytest.param("unbind", marks=UNBIND),
        pytest.param("remove", marks=REMOVE),
    ],
)
def test_a_client_under_load_that_stays_open_is_refused_beside_a_fresh_one_that_works(
    client: Client, removal: Removal, transfer: Transfer, way: Taking
) -> None:
    """As above, with the client still there when the device is back: the hardest case for a driver.

    A failure that names success means copies reported done whose bytes never arrived.
    """
    client.open()
    with removal.taking(way):
        client.begin_load()
    client.load_must_fail(f"the {way}")
    removal.give(way)
    client.must_be_refused(f"the {way}")
    transfer.round_trip(MIB)
    client.close()
    transfer.round_trip(MIB)


@pytest.mark.needs("events")
@pytest.mark.parametrize(
    "way", [pytest.param("remove", marks=REMOVE), pytest.param("revoke", marks=pytest.mark.needs("revocation"))]
)
def test_host_announces_what_it_takes_and_what_it_gives_back(
    hil_bench: Bench, removal: Removal, announcements: Announcements, way: Taking
) -> None:
    """Programs that wait for events learn of functions that the kernel takes from the bus, and of those it finds again.

    A failure means a desktop, or a container, that goes on with a GPU that is gone, or never learns of its return.
    """
    before = hil_bench.inventory
    removal.take(way)
    announcements.must_tell("remove", before, within=5.0, way=way)
    removal.give(way)
    announcements.must_tell("add", hil_bench.inventory, within=5.0, way=way)
