"""The host decides whether an enclosure gets a PCIe tunnel: what it revokes is gone, what it grants is back. Linux."""

from __future__ import annotations

import pytest

from hil.bench import Bench, Device
from hil.fixtures.client import Client
from hil.fixtures.identity import Identity
from hil.fixtures.measure import Measure
from hil.fixtures.removal import Removal
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "enclosure", "authorization"), pytest.mark.severity("critical")]


@pytest.mark.needs("revocation")
def test_revoking_takes_the_tunnel_and_leaves_the_router(device: Device, hil_bench: Bench, removal: Removal) -> None:
    """With ``authorized`` at 0 no function of the enclosure is left on the bus; its router stays, and says 0.

    A failure means a device that a user has thrown out, and that can still read the host's memory.
    """
    uid = device.require_enclosure().uid
    removal.take("revoke")
    now = hil_bench.refresh()
    functions = [address for e in now.enclosures if e.router.uid == uid for address in e.functions]
    levels = [router.authorized for router in now.routers if router.uid == uid]
    assert functions == [], f"bus: {device.alias} revoked: expected no function of its enclosure, seen {functions}"
    assert levels == [0], f"link: {device.alias} revoked: expected its router, authorized 0; seen {levels}"


@pytest.mark.needs("revocation")
def test_granting_brings_the_same_device_back(
    removal: Removal, identity: Identity, transfer: Transfer, measure: Measure
) -> None:
    """Revoked and granted, it is back in time, the same, and bytes pass: what was torn down can be set up again.

    A failure means that a user who says "no" by mistake has to pull the cable.
    """
    before = identity.now()
    removal.take("revoke")
    measure("granted, usable", removal.give("revoke"), unit="s", at_most=20.0)
    identity.must_be(before, "a revocation")
    transfer.round_trip(MIB)


@pytest.mark.needs("revocation")
def test_a_client_whose_device_is_revoked_is_refused(client: Client, removal: Removal, transfer: Transfer) -> None:
    """Copies under way at a revocation end with an error, as later calls do, before and after it is granted again."""
    client.open()
    with removal.taking("revoke"):
        client.begin_load()
    client.load_must_fail("the revocation")
    client.must_be_refused("the revocation")
    removal.give("revoke")
    client.must_be_refused("the revocation")
    client.close()
    transfer.round_trip(MIB)


def test_levels_that_make_no_sense_are_refused_and_change_nothing(removal: Removal, transfer: Transfer) -> None:
    """The kernel refuses what is granted already, a key that was never set, and what is no level at all.

    A failure means a level that was taken without effect, or one that took the tunnel away from who uses it.
    """
    removal.must_be_refused("1", "2", "3", "-1", "yes")
    transfer.round_trip(4096)


@pytest.mark.needs("fixed authorization")
def test_a_domain_that_cannot_revoke_says_so_and_keeps_the_tunnel(removal: Removal, transfer: Transfer) -> None:
    """Where the domain's ``deauthorization`` is 0, writing 0 is refused with an error code and bytes still pass.

    A failure means half a tunnel: the router says 0, and its functions are still there, or are gone for good.
    """
    removal.must_be_refused("0")
    transfer.round_trip(MIB)
