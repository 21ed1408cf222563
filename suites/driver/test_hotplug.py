"""The cable goes, in order or not, and the device can be used again afterwards."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.errors import DeviceGone
from hil.fixtures.hotplug import HotPlug
from hil.fixtures.measure import Measure
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu", "hotplug"), pytest.mark.severity("critical")]


@pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "surprise"])
def test_device_is_usable_after_a_replug(hotplug: HotPlug, transfer: Transfer, measure: Measure, orderly: bool) -> None:
    """Detach is noticed, attach is noticed, and bytes pass again.

    A failure at the attach with the router there and no GPU means that the PCIe tunnel did not come up.
    """
    measure("detach noticed", hotplug.detach(orderly=orderly), unit="s", at_most=5.0)
    measure("attach usable", hotplug.attach(), unit="s", at_most=20.0)
    transfer.round_trip(16 * MIB)


def test_removal_under_a_copy_is_reported(hotplug: HotPlug, transfer: Transfer) -> None:
    """A copy whose device is unplugged ends with "device gone", soon, and the device works after a re-plug.

    A failure means a copy that claims success without its bytes, or a driver that hangs in the field.
    """
    error = hotplug.pull_during("transfer:repeat", after=0.05, nbytes=64 * MIB, copies=64, epoch=1)
    assert isinstance(error, DeviceGone)
    hotplug.attach()
    transfer.round_trip(16 * MIB)


def test_calls_on_a_removed_device_fail_with_a_usable_error(device: Device, hotplug: HotPlug) -> None:
    """A driver call after a surprise removal says that the device is gone: no success, no hang."""
    hotplug.detach(orderly=False)
    with pytest.raises(DeviceGone):
        device.bare_call("session:memory", deadline=5.0)
