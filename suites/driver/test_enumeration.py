"""What the host says is there, its driver says too, and it stays the same device over a re-plug."""

from __future__ import annotations

import pytest

from hil.bench import Bench, Device
from hil.fixtures.hotplug import HotPlug

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]


def test_host_and_driver_see_the_same_device(device: Device) -> None:
    """The driver opens the function that the host enumerates, under the same address.

    A failure means that the copy engine drives another card than the one the report names.
    """
    seen = device.call("session:open_session", name=device.facts.engine, target=device.facts.target)
    assert seen["pci_address"] == device.require_gpu().function.address


@pytest.mark.needs("registers")
def test_config_space_identifies_the_device(device: Device) -> None:
    """The vendor and device ids on the bus are those that enumeration reported.

    A failure means that enumeration shows what was there before, not what is there now.
    """
    function = device.require_gpu().function
    ids = device.call("bus:identity", gpu=device.gpu_facts())
    assert (ids["vendor_id"], ids["device_id"]) == (function.vendor_id, function.device_id)


def test_enumeration_is_repeatable(device: Device, hil_bench: Bench) -> None:
    """Looking twice, with nothing done in between, finds the same."""
    before = hil_bench.refresh()
    assert hil_bench.refresh() == before
    assert before.gpu(device.facts.id) is not None


@pytest.mark.needs("hotplug")
def test_identity_survives_a_replug(device: Device, hotplug: HotPlug) -> None:
    """The same id, the same enclosure and the same link after the cable was out and in again.

    A failure means that history would take it for another device, or that the link came back slower.
    """
    before = device.require_gpu()
    hotplug.detach(orderly=True)
    hotplug.attach()
    after = device.require_gpu()
    assert (after.id, after.enclosure, after.link_kind) == (before.id, before.enclosure, before.link_kind)


@pytest.mark.needs("hotplug")
def test_other_devices_stay_while_one_is_unplugged(device: Device, hil_bench: Bench, hotplug: HotPlug) -> None:
    """Only GPUs of the unplugged enclosure, and of those behind it in its chain, leave the inventory."""
    before = hil_bench.refresh()
    leaving = {router.uid for router in before.behind(device.require_enclosure())}
    others = {gpu.id for gpu in before.gpus if gpu.enclosure is None or gpu.enclosure.uid not in leaving}
    hotplug.detach(orderly=True)
    assert {gpu.id for gpu in hil_bench.refresh().gpus} == others
