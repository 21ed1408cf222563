"""The cable goes, in order or not, whoever has the device open, and the device can be used again afterwards."""

from __future__ import annotations

import pytest

from hil.bench import Bench, Device
from hil.errors import DeviceGone
from hil.fixtures.announcements import Announcements
from hil.fixtures.hotplug import HotPlug
from hil.fixtures.link import Link
from hil.fixtures.measure import Measure
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "hotplug"), pytest.mark.severity("critical")]


@pytest.mark.quick
@pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "surprise"])
def test_device_is_usable_after_a_replug(hotplug: HotPlug, transfer: Transfer, measure: Measure, orderly: bool) -> None:
    """Detach is noticed, attach is noticed, and bytes pass again.

    Owners report two to five seconds to a usable GPU. A failure at the attach with the router there and no GPU means
    that the PCIe tunnel did not come up.
    """
    measure("detach noticed", hotplug.detach(orderly=orderly), unit="s", at_most=5.0)
    measure("attach usable", hotplug.attach(), unit="s", at_most=20.0)
    transfer.round_trip(4 * MIB)


@pytest.mark.quick
@pytest.mark.needs("registers")
def test_the_gpus_own_link_is_what_it_was_after_a_replug(hotplug: HotPlug, link: Link) -> None:
    """The GPU's PCIe link carries as much as before, and makes no errors; read under load: an idle card lowers it.

    A failure is a slot, riser or bridge that trains to less now and then; the enclosure's cable shows nothing of it.
    """
    before = link.pcie_under_load()
    hotplug.detach(orderly=True)
    hotplug.attach()
    link.pcie_must_be(before, "a re-plug")
    link.hold_errors()


def test_removal_under_a_copy_is_reported(hotplug: HotPlug, transfer: Transfer) -> None:
    """A copy whose device is unplugged ends with "device gone", soon, and the device works after a re-plug.

    Field reports: Xid 79, then a driver that answers nothing until the next boot. A failure means a copy that claims
    success without its bytes, or a driver that hangs in the field.
    """
    error = hotplug.pull_during("transfer:repeat", after=0.02, nbytes=8 * MIB, copies=256, epoch=1)
    assert isinstance(error, DeviceGone)
    hotplug.attach()
    transfer.round_trip(4 * MIB)


def test_a_removed_device_is_refused_with_a_usable_error(device: Device, hotplug: HotPlug) -> None:
    """A call of a client that was open at a surprise removal, and opening anew, say "device gone": no success, no hang.

    A failure means a driver that serves a card from memory, or one that waits for a card that may never come.
    """
    hotplug.detach(orderly=False)
    with pytest.raises(DeviceGone):
        device.bare_call("session:memory", deadline=5.0)
    device.close_session()
    with pytest.raises(DeviceGone):
        device.call("session:memory")


@pytest.mark.needs("events")
def test_host_announces_what_left_and_what_came(
    hil_bench: Bench, hotplug: HotPlug, announcements: Announcements
) -> None:
    """Programs that wait for events learn of router and functions going and coming, and of nothing that is not there.

    A failure means a desktop that shows no GPU until somebody looks again, as after a lost hot-plug interrupt.
    """
    before = hil_bench.inventory
    hotplug.detach(orderly=True)
    announcements.must_tell("remove", before, within=5.0)
    hotplug.attach()
    announcements.must_tell("add", hil_bench.inventory, within=5.0)
