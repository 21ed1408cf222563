"""The bench and its devices: processes, plugs, locks, health and recovery, without pytest around them."""

from __future__ import annotations

import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_runs import eventually, machine

from hil.bench import Device, HardwareRequired, Wish, open_bench, parse
from hil.bench.locks import DeviceLock
from hil.bench.operations import bus
from hil.bench.worker import Context
from hil.errors import BenchFault, DeviceFault, DeviceGone, DeviceHung, NotPermitted, NotSupported, UsageError
from hil.hosts.bench_sections import Allow
from hil.model import KIB, MIB, Inventory

MAC, FIRST, SECOND = "rtx-4080-ut4g-dock", "rtx-4090-th3p4g3", "rtx-6000-ada-egpu-node-titan"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def opened(folder):
    """Opens benches and closes them whatever the test did."""
    benches = []

    def open_one(bench: str, **wishes):
        benches.append(open_bench(Wish(selection=parse(bench), folder=folder, **wishes)))
        return benches[-1]

    yield open_one
    for bench in benches:
        bench.close()


@pytest.fixture(scope="module")
def shared(opened):
    return opened("sim:linux-two-enclosures", backstop=20.0)


@pytest.fixture
def bench(shared):
    """One bench for all tests here, with both devices plugged in and well before each."""
    for device in shared.devices:
        device.quarantine, device.story = "", []
        device.ensure_healthy()
        device.story.clear()
    shared.notes.clear()
    return shared


@pytest.fixture
def device(bench) -> Device:
    return bench.device(FIRST)


@pytest.fixture(scope="module")
def inline(opened):
    """A bench without processes of its own."""
    return opened("sim", inline=True)


def round_trip(device: Device) -> bool:
    return device.call("transfer:round_trip", nbytes=64 * KIB, epoch=7)["intact"]


# --- devices ---


def test_devices_are_known_by_alias_and_asking_for_another_lists_them(bench):
    assert [device.alias for device in bench.devices] == [FIRST, SECOND]
    with pytest.raises(BenchFault, match=f"no device 'tpu' on bench sim:linux-two-enclosures; there are: {FIRST}, "):
        bench.device("tpu")


def test_only_the_devices_asked_for_are_taken(opened):
    bench = opened("sim:linux-two-enclosures", only=[SECOND])

    assert [device.alias for device in bench.devices] == [SECOND]


def test_a_process_starts_when_it_is_needed_and_anew_when_it_has_died(device):
    assert round_trip(device)
    device.kill()
    assert "its process has ended: killed by SIGKILL" in device.probe()
    assert round_trip(device)
    device.stop()


def test_what_a_device_is_not_it_says(bench, device):
    lonely = Device(bench, replace(device.facts, gpu=None, engine=""))

    with pytest.raises(NotSupported, match=f"{FIRST} is no GPU of the inventory"):
        lonely.require_gpu()
    with pytest.raises(NotSupported, match=f"{FIRST} sits in no enclosure"):
        lonely.require_enclosure()
    with pytest.raises(NotSupported, match="no installed copy engine can open NVIDIA GeForce RTX 4090: `pip install"):
        lonely.process()
    lonely.relocate(Inventory(host=bench.inventory.host))  # what is in no inventory cannot be missed there
    assert (lonely.stderr_text(), lonely.probe()) == ("", "")
    lonely.stop()


def test_a_device_that_left_the_inventory_is_gone(bench, device):
    with pytest.raises(DeviceGone, match=rf"{FIRST} \(.*\) is not in the inventory"):
        device.relocate(Inventory(host=bench.inventory.host))


def test_what_operations_print_is_kept(device):
    device.call("tests.bench_operations:says", words="mailbox timeout")

    assert "mailbox timeout" in device.stderr_text()


# --- plugs ---


def test_a_replug_is_noticed_both_ways_and_the_device_works(bench, device):
    device.close_session()
    gone = bench.plugs.detach(device)
    assert FIRST not in {g.name for g in bench.refresh().gpus}
    back = bench.plugs.attach(device)

    assert 0 < gone < 5
    assert 0 < back < 20
    assert round_trip(device)


def test_plugged_into_another_port_it_is_the_same_device_and_works(bench, device):
    other = bench.device(SECOND)
    bench.plugs.detach(other)
    bench.plugs.detach(device)
    bench.plugs.attach(device, port=0)
    try:
        assert device.facts.gpu.id == bench.inventory.gpus[0].id
        assert device.facts.enclosure.domain == "domain0"
        assert round_trip(device)
    finally:
        bench.plugs.detach(device)
        bench.plugs.attach(device, port=1)
        bench.plugs.attach(other, port=0)
    assert round_trip(other)


def test_attaching_waits_until_the_host_has_noticed_the_pull(bench, device):
    device.process()
    bench.plugs.detach_call(device).result()  # and nobody waits for the host
    bench.plugs.attach(device)

    assert device.probe() == ""


def test_consent_is_asked_before_anything_is_pulled(bench, device, monkeypatch):
    monkeypatch.setattr(bench, "allow", Allow())

    for act in (lambda: bench.plugs.detach(device), device.reset):
        with pytest.raises(NotPermitted, match=r"does not allow (unplug|reset) of rtx-4090-th3p4g3: set allow\."):
            act()
    assert bench.plugs.cannot_unplug(device) == "the bench does not allow unplugging (allow.unplug)"


def test_without_an_actuator_the_cable_is_a_persons_business(bench, device, monkeypatch):
    monkeypatch.setattr(bench, "actuators", ())

    with pytest.raises(NotSupported, match="acts on enclosure TH3P4G3: plug it by hand, or name an actuator"):
        bench.plugs.detach(device)
    assert bench.plugs.cannot_unplug(device) == "no actuator of the bench acts on its enclosure TH3P4G3"


def test_what_was_unplugged_is_noted_beside_the_lock_until_it_is_back(bench, device):
    bench.plugs.detach(device)
    noted = record_of(bench, device)["state"]["detached"]
    bench.plugs.attach(device)

    assert [(away["enclosure"]["device_name"], away["gpus"]) for away in noted] == [("TH3P4G3", 1)]
    assert record_of(bench, device)["state"] == {}


def record_of(bench, device) -> dict:
    records = (path.read_text() for path in lock_folder(bench).glob("*.lock"))
    return next(facts for facts in map(json.loads, filter(None, records)) if facts["device"] == device.facts.id)


def lock_folder(bench) -> Path:
    return Path(bench._setup.address).parent


# --- locks ---


def test_the_locks_are_taken_again_when_the_hosts_own_process_died(bench, device):
    os.kill(bench._host.pid, signal.SIGKILL)
    assert eventually(lambda: not bench._host.alive)

    bench.refresh()

    assert bench.notes == ["the host's own process had to be started again: killed by SIGKILL"]
    with pytest.raises(BenchFault, match="is in use by pid"):
        DeviceLock.acquire(device.facts.id, lock_folder(bench))


def test_what_a_dead_run_left_is_put_right_or_said_to_be_left(folder):
    with machine("linux-two-enclosures") as address:
        place = Path(address).parent
        leave(place, "unreadable", {"detached": [{"enclosure": {"uid": 3}}]})
        leave(place, "of a lab that was rebuilt", {"detached": [{"enclosure": router("No Such Box"), "gpus": 1}]})
        first = open_bench(Wish(selection=parse(f"sim:{address}"), folder=folder))
        first.close()
        second = open_bench(Wish(selection=parse(f"sim:{address}"), folder=folder))
        second.close()

    stuck = "a run that died had unplugged Acme No Such Box, and it could not be plugged in again: no actuator of bench"
    unread = "a run that died left a record that cannot be read; see that all enclosures are plugged in"
    assert [note[: len(stuck)] for note in first.notes] == [stuck, unread[: len(stuck)]]
    assert [note[: len(stuck)] for note in second.notes] == [stuck]  # until somebody has put it right


def leave(place: Path, device: str, state: dict) -> None:
    lock = DeviceLock.acquire(device, place, {"state": state})
    os.close(lock._descriptor)  # as the kernel does for a process that died
    lock._descriptor = None


def router(name: str) -> dict:
    facts = {"uid": "0011223344556677", "name": "0-1", "role": "enclosure", "domain": "domain0", "parent": "0-0"}
    return {**facts, "vendor_name": "Acme", "device_name": name}


# --- health ---


def test_a_device_that_is_well_costs_no_recovery(device):
    device.ensure_healthy()

    assert (device.story, device.quarantine) == ([], "")


def test_the_ladder_is_climbed_only_as_far_as_needed(bench, device):
    bench.plugs.detach(device)
    device.ensure_healthy()

    names = ["reopen", "reset", "driver rebind", "sleep and wake", "replug"]
    assert [(rung.name, rung.ok) for rung in device.story] == [(name, name == "replug") for name in names]
    assert device.story[-1].sentence.startswith("well again after: ")
    assert round_trip(device)


def test_rungs_that_are_not_allowed_are_left_out_and_named(bench, device, monkeypatch):
    bench.plugs.detach(device)
    with monkeypatch.context() as changed:
        changed.setattr(bench, "allow", Allow())
        with pytest.raises(BenchFault, match=f"{FIRST} is quarantined: it is not well .* and nothing helped .reopen: "):
            device.ensure_healthy()
        with pytest.raises(BenchFault, match="is quarantined"):
            device.ensure_healthy()

    assert [rung.sentence for rung in device.story[1:]] == [
        "not tried: the bench does not allow resets (allow.reset)",
        "not tried: the bench does not allow to take it from the kernel (allow.unbind)",
        "not tried: the bench does not allow the host to be put to sleep (allow.sleep)",
        "not tried: the bench does not allow unplugging (allow.unplug)",
        "not tried: the bench does not allow cutting a supply (allow.power_cycle)",
    ]
    bench.plugs.attach(device)


def test_a_device_that_is_no_gpu_is_neither_reset_nor_replugged(bench, device):
    other = Device(bench, replace(device.facts, gpu=None, engine=""))
    other.kill()
    other._process = bench.start_process("other")
    other.kill()

    with pytest.raises(
        BenchFault, match=r"reset: not tried: it is no GPU of the inventory; .*; replug: not tried: it sits"
    ):
        other.ensure_healthy()


def test_a_reset_that_brings_back_another_config_space_is_the_devices_fault(device, monkeypatch):
    answer = {"seconds": 0.1, "lost": [], "wrong": ["BAR 1 is 0", "it identifies as another chip"]}
    monkeypatch.setattr(device, "reset_call", lambda *_, **__: SimpleNamespace(result=lambda: answer))

    with pytest.raises(DeviceFault, match="wrong config space: BAR 1 is 0; it identifies as another chip"):
        device.reset()


def test_interrupting_kills_what_is_under_way_at_once(bench, device):
    call = device.submit("tests.bench_operations:waits", deadline=1000.0)
    assert call.begun()

    bench.interrupt()

    with pytest.raises(BenchFault, match="waits on rtx-4090-th3p4g3 was cut off"):
        call.result()


def test_closing_twice_is_once(opened):
    bench = opened("sim:empty-linux")

    assert (bench.close(), bench.close()) == ([], [])
    assert bench.devices == ()


# --- inline ---


def test_inline_operations_run_in_this_process(inline):
    device = inline.device(MAC)
    pid = device.call("tests.bench_operations:own_pid")

    assert pid == os.getpid()
    assert round_trip(device)
    assert device.submit("tests.bench_operations:add", left=1, right=2).result() == 3
    assert device.stderr_text() == ""


def test_inline_a_foreign_error_is_the_benchs_and_keeps_its_cause_for_the_debugger(inline):
    with pytest.raises(BenchFault, match="ZeroDivisionError: by a driver library") as caught:
        inline.device(MAC).call("tests.bench_operations:foreign")

    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.device == MAC


def test_inline_a_process_that_was_ended_takes_no_more(inline):
    device = inline.device(MAC)
    process = device.process()
    process.kill()

    with pytest.raises(BenchFault, match=f"{MAC} has ended: closed"):
        process.call("tests.bench_operations:add", deadline=1.0, left=1, right=1)
    assert round_trip(device)


def test_inline_a_hang_is_broken_off_by_the_machine(opened):
    device = opened("sim", inline=True, faults=["call-hangs:call=synchronize"]).device(MAC)

    with pytest.raises(
        DeviceHung, match=rf"transfer:round_trip on {MAC} did not come back by its deadline of 30 s; it hangs in"
    ):
        device.call("transfer:round_trip", nbytes=MIB, epoch=7)
    assert round_trip(device)


# --- opening ---


def test_an_unusable_wish_leaves_nothing_running(folder, monkeypatch):
    started = []
    monkeypatch.setattr("hil.bench.opening.MachineProcess.close", lambda self: (started.append(self), self.let_go()))

    with pytest.raises(UsageError, match="HIL_DEVICE: no device tpu on bench sim:empty-mac; known: none"):
        open_bench(Wish(selection=parse("sim:empty-mac"), folder=folder, only=["tpu"], said={"device": "HIL_DEVICE"}))
    with pytest.raises(HardwareRequired):
        open_bench(Wish(selection=parse("sim"), folder=folder, require_hardware=True))


def test_the_probe_says_in_words_what_the_vendor_id_reads_as(device, monkeypatch):
    monkeypatch.setattr(bus, "presence", lambda access: "crs")

    monkeypatch.setattr(bus, "open_function", lambda host, gpu: io.BytesIO())
    here = Context(host=None, device=FIRST, progress=print)

    assert bus.health(here, gpu=device.gpu_facts()) == "its vendor id reads as not ready yet (0xffff0001)"
