"""A reset ends, in time, with the same device in the same state and nothing of its last owner."""

from __future__ import annotations

import pytest

from hil.fixtures.client import Client
from hil.fixtures.identity import Identity
from hil.fixtures.link import Link
from hil.fixtures.measure import Measure
from hil.fixtures.removal import Removal
from hil.fixtures.reset import Reset
from hil.fixtures.transfer import Transfer
from hil.fixtures.vram import Vram
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "reset"), pytest.mark.severity("critical")]
READY_WITHIN = 1.0
"""Seconds from a reset until the function answers (PCI Express Base Specification 6.0, 6.6.1); a real kernel takes
0.02."""
TIMES = 5
"""Resets of each kind, of which each could forget something: what goes wrong in one of two shows in 97 of 100 runs."""


@pytest.mark.quick
def test_each_reset_brings_the_device_back_as_it_was(
    reset: Reset, identity: Identity, link: Link, transfer: Transfer, measure: Measure
) -> None:
    """By each kind that there is: ready in time, config space, BARs, link in use, ECC, clocks as before; bytes pass.

    Field reports: config reads 0xffff0001 for ever, which is "not ready yet" and counts as such (only a power cycle
    helps); COMMAND and BARs read 0 afterwards, and every access fails.
    """
    before, link_before = identity.now(), link.pcie_under_load()
    for kind in reset.kinds():
        outcome = reset(kind)
        measure(f"ready after a reset by {kind}", outcome.seconds, unit="s", at_most=READY_WITHIN)
        reset.must_have_kept_config(outcome, kind)
        identity.must_be(before, f"a reset by {kind}")
        link.pcie_must_be(link_before, f"a reset by {kind}")
        transfer.round_trip(MIB)
    link.hold_errors()


@pytest.mark.needs("unbind")
def test_each_reset_works_while_no_driver_has_the_device(
    reset: Reset, removal: Removal, identity: Identity, transfer: Transfer, measure: Measure
) -> None:
    """As above with its driver unbound, as a hypervisor does that passes the card through; then it is bound again.

    A failure means a reset that works by the driver's grace only: the card cannot be given to somebody else.
    """
    before = identity.now()
    for kind in reset.kinds():
        removal.take("unbind")
        outcome = reset(kind)
        removal.give("unbind")
        measure(f"ready after a reset by {kind}, unbound", outcome.seconds, unit="s", at_most=READY_WITHIN)
        reset.must_have_kept_config(outcome, kind)
        identity.must_be(before, f"a reset by {kind} while unbound")
        transfer.round_trip(MIB)


def test_nobody_reads_the_last_owners_data_after_a_reset(reset: Reset, vram: Vram, client: Client) -> None:
    """Memory that a client filled, and never freed, holds nothing of it for who comes after a reset.

    A failure is a leak of one user's data to another: a reset keeps what is in the memory's cells.
    """
    for kind in reset.kinds() * TIMES:
        client.open()
        vram.imprint(16 * MIB, by=client)
        reset(kind)
        pages = vram.imprinted_pages(8 * MIB)
        assert pages == 0, f"fresh memory after a reset: expected no page of the last owner's, seen {pages} of 2048"
        client.close()


def test_memory_of_before_a_reset_is_refused_with_an_error_code(client: Client, reset: Reset) -> None:
    """A client that was open over a reset gets an error with a code from every call, and works after opening anew.

    A failure means copies to and from memory that is somebody else's by now.
    """
    for kind in reset.kinds() * TIMES:
        client.open()
        reset(kind)
        client.must_be_refused(f"a reset by {kind}")
        client.close()
        client.open()
        client.must_be_intact("opening anew")
        client.close()


@pytest.mark.quick
def test_copies_under_way_at_a_reset_end_with_an_error(client: Client, reset: Reset, transfer: Transfer) -> None:
    """A reset in the middle of copies both ways: they end with an error, soon, and a fresh client's bytes pass.

    A failure means copies that claim to be complete, or a driver that waits for a completion that was reset away.
    """
    client.open()
    with reset.during(after=0.005):
        client.begin_load()
    client.load_must_fail("a reset")
    client.must_be_refused("a reset")
    client.close()
    transfer.round_trip(MIB)


def test_device_opens_again_and_again_after_a_reset(reset: Reset, transfer: Transfer, client: Client) -> None:
    """Three times open, copy, close behind a reset.

    Some cards boot their firmware once only: the first open after a reset is fine, the second dies at its first page
    table, and nothing but a power cycle helps.
    """
    reset()
    for _ in range(3):
        client.open()
        client.must_be_intact("a reset")
        client.close()
    transfer.round_trip(MIB)
