"""The host sleeps and wakes, and every device is what it was: there, usable, and with no byte silently changed.

Sleep is the nearest that a Mac's software comes to a re-plug: links go down and train again, functions lose power.
"""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.identity import Identity
from hil.fixtures.link import Link
from hil.fixtures.measure import Measure
from hil.fixtures.sleep import Sleep
from hil.fixtures.telemetry import Telemetry
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "sleep"), pytest.mark.severity("critical")]


@pytest.mark.needs("registers")
def test_the_gpus_own_link_is_what_it_was_after_a_wake(sleep: Sleep, link: Link) -> None:
    """The GPU's PCIe link carries as much as before, and makes no errors; read under load: an idle card lowers it.

    A failure is equalization that is not done again at the wake.
    """
    before = link.pcie_under_load()
    sleep()
    link.pcie_must_be(before, "the sleep")
    link.hold_errors()


def test_device_is_the_same_after_a_wake(sleep: Sleep, identity: Identity) -> None:
    """Ids, memory, functions, BARs, enclosure and its link are what they were before the sleep.

    A failure at the link means a tunnel that trained to less; at the bus, functions or BARs that were not put back.
    """
    before = identity.now()
    sleep()
    identity.must_be(before, "the sleep")


def test_device_is_usable_after_a_wake(sleep: Sleep, transfer: Transfer, measure: Measure) -> None:
    """The host is back soon after its wake, the device opens, and bytes pass.

    A failure means that every closed lid costs a reboot: owners report drivers that never resume.
    """
    measure("wake", sleep(), unit="s", at_most=30.0)
    transfer.round_trip(16 * MIB)


@pytest.mark.parametrize("nbytes", [4096, 64 * MIB])
def test_held_memory_is_intact_or_refused(sleep: Sleep, transfer: Transfer, nbytes: int) -> None:
    """Memory that a client held holds its bytes after the wake, or the driver says that it is lost.

    A driver that answers with other bytes has corrupted a user's work without a word.
    """
    sleep.hold(nbytes)
    sleep()
    sleep.held()
    transfer.round_trip(nbytes)


@pytest.mark.needs("registers")
def test_config_space_is_put_back(sleep: Sleep) -> None:
    """COMMAND, BARs and payload sizes, which lose their power with the function, are restored by the operating system.

    A failure means that the driver's first access after the wake reads all ones.
    """
    changes = sleep.config_changes()
    assert changes == [], f"expected the config space from before the sleep, seen: {'; '.join(changes)}"


def test_driver_survives_the_wake(sleep: Sleep, telemetry: Telemetry, device: Device) -> None:
    """No Xid is logged by a sleep while the device is open, but for those of channels whose memory it cost.

    Owners report 119 and 120 after a resume, a GSP that does not answer, then 154: the device wants a reset, or the
    host a reboot.
    """
    device.process()
    sleep()
    telemetry.must_be_quiet("the sleep")


def test_device_survives_sleep_after_sleep(sleep: Sleep, transfer: Transfer, measure: Measure) -> None:
    """Three sleeps in a row, with bytes passing after each.

    A failure of a later one alone means state that each wake wears down: a leak, or a boot that works once.
    """
    for turn in range(3):
        measure(f"wake {turn + 1}", sleep(), unit="s", at_most=30.0)
        transfer.round_trip(MIB)
