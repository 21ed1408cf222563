"""What the host says is there, its driver says too, and it stays the same device wherever it comes back."""

from __future__ import annotations

import pytest

from hil.bench import Bench, Device
from hil.fixtures.hotplug import HotPlug
from hil.fixtures.identity import Identity
from hil.fixtures.transfer import Transfer
from hil.model import MIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]


@pytest.mark.quick
def test_host_and_driver_see_the_same_device(identity: Identity) -> None:
    """The driver opens the function that the host enumerates, by address, and by UUID where both tell it.

    A failure means that the copy engine drives another card than the one the report names.
    """
    identity.must_be_driven()


@pytest.mark.quick
@pytest.mark.needs("registers")
def test_config_space_identifies_the_device(device: Device) -> None:
    """The vendor and device ids on the bus are those that enumeration reported.

    A failure means that enumeration shows what was there before, not what is there now.
    """
    function = device.require_gpu().function
    ids = device.call("bus:identity", gpu=device.gpu_facts())
    seen, told = f"{ids['vendor_id']:04x}:{ids['device_id']:04x}", f"{function.vendor_id:04x}:{function.device_id:04x}"
    assert seen == told, f"bus: {device.alias}: config space of {function.address} says {seen}, enumeration {told}"


def test_enumeration_is_repeatable(device: Device, hil_bench: Bench) -> None:
    """Looking twice, with nothing done in between, finds the same."""
    before = hil_bench.refresh()
    assert before.changes(hil_bench.refresh()) == ()
    assert before.gpu(device.facts.id) is not None, f"{device.alias} ({device.facts.id}) is not in the inventory"


def test_the_card_is_whole(device: Device, hil_bench: Bench) -> None:
    """Beside its display function the card shows its audio function, as every GeForce and RTX card does.

    A failure is an enumeration that stopped half way: users see a GPU without sound, and a function that nobody
    puts to sleep keeps the whole card awake.
    """
    own = device.require_gpu().function.address
    slot = own.rpartition(".")[0]
    siblings = [f for f in hil_bench.refresh().functions if f.address.rpartition(".")[0] == slot and f.address != own]
    assert [f.class_code and f.class_code >> 8 for f in siblings if f.vendor_id == 0x10DE] == [0x0403], (
        f"bus: {device.alias} at {own}: expected one audio function beside it, seen: {siblings}"
    )


@pytest.mark.quick
@pytest.mark.needs("hotplug")
def test_identity_survives_a_replug(identity: Identity, hotplug: HotPlug) -> None:
    """Id, UUID, memory, BARs, functions, enclosure, link, USB and settings are the same after a re-plug.

    A failure means that history would take it for another device, that the link came back slower, or that a part of
    it did not come back at all.
    """
    before = identity.now()
    hotplug.detach(orderly=True)
    hotplug.attach()
    identity.must_be(before, "a re-plug")


@pytest.mark.needs("second port")
def test_identity_survives_another_port(identity: Identity, hotplug: HotPlug, transfer: Transfer) -> None:
    """At another port of the host it is the same device, with the same link, and bytes pass.

    Applications keep what they know of a GPU under its id; a port with a worse retimer shows here as a slower link.
    """
    before = identity.now()
    port = hotplug.other_port()
    hotplug.detach(orderly=True)
    hotplug.attach(port=port)
    identity.must_be(before, f"a move to port {port}")
    transfer.round_trip(MIB)
