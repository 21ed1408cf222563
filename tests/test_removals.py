"""Letting the kernel take devices from driver, bus and tunnel: consent, notes, the way back, what a dead run left."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runs import machine

from hil.bench import Device, Wish, open_bench, parse
from hil.bench.locks import DeviceLock
from hil.errors import BenchFault, DeviceFault, DeviceGone, NotPermitted, UsageError
from hil.hosts.bench_sections import Allow
from hil.plugin.devices import NEEDS

FRONT, REAR = "rtx-4090-egpu-node-pro", "rtx-4060-ti-egpu-node-lite"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def chain(folder):
    """Two enclosures on one cable, Linux."""
    opened = open_bench(Wish(selection=parse("sim:linux-daisy-chain"), folder=folder))
    yield opened
    opened.close()


@pytest.fixture
def bench(chain):
    yield chain
    assert chain.removals.restore() == []


@pytest.fixture
def front(bench) -> Device:
    return bench.device(FRONT)


def addresses(bench) -> set[str]:
    return {function.address for function in bench.refresh().functions}


def state(bench, device: Device) -> object:
    """What a run that comes after this one's death would find noted."""
    place = Path(bench._setup.address).parent
    with pytest.raises(BenchFault, match="is in use"):
        DeviceLock.acquire(device.facts.id, place)
    return bench.left._states.get(device.facts.id)


@pytest.mark.parametrize("way", ["unbind", "remove", "revoke"])
def test_what_was_taken_is_noted_until_it_is_back_and_works(bench, front, way):
    front.call("session:memory")

    bench.removals.take(way, front)
    noted = dict(state(bench, front))
    with pytest.raises(DeviceFault):
        front.bare_call("session:memory", deadline=5.0)
    seconds = bench.removals.give(way, front)

    assert list(noted) == [way]
    assert state(bench, front) == {}
    assert seconds > 0
    assert front.call("session:memory")[0] > 0


def test_unbinding_leaves_the_function_on_its_bus_and_nobody_can_open_it(bench, front):
    there = addresses(bench)
    front.close_session()

    bench.removals.take("unbind", front)

    assert addresses(bench) == there
    assert bench.refresh().gpu(front.facts.gpu.path_id).function.driver == ""
    with pytest.raises(DeviceGone, match="NO_DEVICE"):
        front.call("session:memory")


def test_removing_takes_the_whole_card_and_nothing_else(bench, front):
    there, slot = addresses(bench), front.facts.gpu.function.address[:-1]

    bench.removals.take("remove", front)

    assert there - addresses(bench) == {f"{slot}0", f"{slot}1"}


def test_revoking_the_first_of_a_chain_takes_and_gives_the_second_too(bench, front):
    rear = bench.device(REAR)

    bench.removals.take("revoke", front)
    gone = [gpu.id for gpu in bench.refresh().gpus]
    bench.removals.give("revoke", front)

    assert gone == []
    assert rear.call("session:memory")[0] > 0


def test_unplugging_the_first_of_a_chain_brings_the_second_back_ready_for_use(bench, front):
    rear = bench.device(REAR)
    rear.call("session:memory")

    bench.plugs.detach(front)
    bench.plugs.attach(front)

    assert rear.call("session:memory")[0] > 0


def test_nothing_is_taken_without_consent(bench, front, monkeypatch):
    monkeypatch.setattr(bench, "allow", Allow())

    with pytest.raises(NotPermitted, match=r"allow\.unbind = true"):
        bench.removals.take("unbind", front)
    with pytest.raises(NotPermitted, match=r"allow\.unplug = true"):
        bench.removals.take("revoke", front)

    assert NEEDS["unbind"](front) == NEEDS["remove"](front)
    assert "(allow.unbind)" in NEEDS["unbind"](front)
    assert "(allow.unplug)" in NEEDS["authorization"](front)


def test_what_cannot_be_taken_says_why(bench, front, monkeypatch):
    gpu = front.facts.gpu
    none = Device(bench, replace(front.facts, gpu=None))
    slot = Device(bench, replace(front.facts, gpu=replace(gpu, enclosure=None)))
    driverless = Device(bench, replace(front.facts, gpu=replace(gpu, function=replace(gpu.function, driver=""))))
    unknown = Device(bench, replace(front.facts, gpu=replace(gpu, enclosure=replace(gpu.enclosure, authorized=None))))

    assert NEEDS["unbind"](none) == NEEDS["events"](none) == NEEDS["second device"](none)
    assert NEEDS["unbind"](none) == "it is no GPU of the inventory"
    assert NEEDS["authorization"](slot) == "it sits in no enclosure"
    assert NEEDS["unbind"](driverless) == "no driver has it"
    assert NEEDS["remove"](driverless) == ""
    assert NEEDS["revocation"](unknown) == NEEDS["fixed authorization"](unknown) == "this host knows no authorization"
    assert NEEDS["revocation"](front) == NEEDS["events"](front) == ""
    assert NEEDS["fixed authorization"](front) == "its domain lets an authorization be revoked"
    monkeypatch.setattr(
        bench, "inventory", replace(bench.inventory, host=replace(bench.inventory.host, system="Darwin"))
    )
    assert NEEDS["remove"](front) == "no software of Darwin takes a GPU from its driver, its bus or its tunnel"


def test_which_devices_can_be_plugged_in_elsewhere(bench, front, monkeypatch):
    assert NEEDS["second port"](front) == ""
    assert bench.plugs.free_ports() == [1]
    assert bench.plugs.port_of(front) == 0
    assert "hangs behind eGPU Node Pro" in NEEDS["second port"](bench.device(REAR))
    monkeypatch.setattr(bench, "inventory", replace(bench.inventory, domains=bench.inventory.domains[:1]))
    assert NEEDS["second port"](front) == "all ports of the host are taken"
    monkeypatch.setattr(bench, "host_call", lambda *_, **__: False)
    assert NEEDS["second port"](front) == "the actuator simulated of its enclosure cannot plug it into another port"


def test_what_cannot_be_given_back_at_the_end_is_said(bench, front, monkeypatch):
    def refuse(*_, **__):
        raise BenchFault("no")

    bench.removals.take("unbind", front)
    with monkeypatch.context() as patch:
        patch.setattr(bench, "host_submit", refuse)
        complaints = bench.removals.restore()

    assert complaints == [f"{FRONT} was taken from its driver and could not be given back: no"]


def test_a_way_that_nobody_knows_is_refused(bench):
    for operation in ("removal:take", "removal:give"):
        with pytest.raises(UsageError, match="known: unbind, remove, revoke"):
            bench.host_call(operation, way="melt", what=[])


def test_a_level_of_authorization_is_written_as_it_is(bench, front):
    enclosure = {"uid": "0011223344556677", "name": "9-1", "role": "enclosure", "domain": "domain9"}

    with pytest.raises(BenchFault, match="router 0011223344556677 is not there"):
        bench.host_call("removal:authorization", enclosure=enclosure, levels=[])


def test_the_host_announces_what_comes_and_goes_once_asked_to(bench, front):
    gpu = front.facts.gpu.function.address
    bench.host_call("nodes:events_begin", subsystems=["pci"])

    bench.removals.take("remove", front)
    told = bench.host_call("nodes:events_until", wanted=[["remove", "pci", gpu]], within=1.0)
    bench.removals.give("remove", front)
    never = bench.host_call("nodes:events_until", wanted=[["remove", "usb", "1-1"]], within=1.0)
    bench.host_call("nodes:events_end")

    assert (told["missing"], never["missing"]) == ([], [["remove", "usb", "1-1"]])
    assert ["remove", "pci", f"{gpu[:-1]}1"] in told["seen"]
    assert ["add", "pci", gpu] in never["seen"]


def test_nodes_are_listed_by_folder(bench, front):
    nodes = bench.host_call("nodes:nodes")

    assert front.facts.gpu.function.address in nodes["/sys/bus/pci/devices"]
    assert "0-1" in nodes["/sys/bus/thunderbolt/devices"]
    assert bench.host_call("nodes:driver_processes") == []


def test_a_device_process_tells_what_it_holds(front):
    held = front.call("session:footprint")

    assert held["descriptors"] > 3
    assert held["bytes"] > 1 << 20


@pytest.mark.parametrize(
    ("way", "words"), [("unbind", "taken from its driver"), ("revoke", "deprived of its enclosure's authorization")]
)
def test_what_a_dead_run_had_taken_is_given_back_by_the_next(folder, way, words):
    with machine("linux-two-enclosures") as address:
        first = open_bench(Wish(selection=parse(f"sim:{address}"), folder=folder))
        device = first.devices[0]
        first.removals.take(way, device)
        os.kill(first._host.pid, 9)
        first.removals._away.clear()
        first._setup = replace(first._setup, machine=None)
        second = open_bench(Wish(selection=parse(f"sim:{address}"), folder=folder))
        works = second.device(device.alias).call("session:memory")[0] > 0
        second.close()
        first.close()

    assert second.notes[0] == f"a run that died had left a device {words}: it was given back"
    assert works


def test_a_note_that_cannot_be_followed_stays_and_one_that_cannot_be_read_is_said(folder):
    nowhere = [{"address": "0000:77:00.0", "driver": "nvidia"}]
    state = {"unbind": {"what": nowhere, "functions": []}, "remove": {"what": []}}
    with machine("linux-two-enclosures") as address:
        lock = DeviceLock.acquire("gone", Path(address).parent, {"state": state})
        os.close(lock._descriptor)  # as the kernel does for a process that died
        lock._descriptor = None
        bench = open_bench(Wish(selection=parse(f"sim:{address}"), folder=folder))
        bench.close()

    assert bench.notes[0].startswith(
        "a run that died left a record of a device removed from its bus that cannot be read"
    )
    assert bench.notes[1].startswith("a run that died had left a device taken from its driver, and it could not be")
