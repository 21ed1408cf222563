"""What a run that died has left behind: found by the next one, put right, and told."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from pytest_runs import eventually
from sim_rig import Rig

from hil.bench import Bench, Wish, open_bench, parse
from hil.bench.locks import DeviceLock
from hil.errors import BenchFault
from hil.hosts.bench_sections import Allow

ALIAS = "rtx-4090-th3p4g3"


@pytest.fixture(scope="module")
def rig():
    made = Rig("linux-two-enclosures")
    yield made
    made.close()


@pytest.fixture
def opened(rig, tmp_path):
    """Opens benches on one machine, as run after run would; closes what no test let die."""
    benches: list[Bench] = []

    def open_one() -> Bench:
        benches.append(open_bench(Wish(selection=parse(f"sim:{rig.address}"), folder=tmp_path, backstop=15.0)))
        return benches[-1]

    yield open_one
    for bench in benches:
        bench.close()


def die(bench: Bench) -> None:
    """End the run as SIGKILL would: nothing is put back, and the locks go with the host's own process."""
    bench._closed = True
    for process in bench._processes.values():
        if process.alive:
            os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not any(process.alive for process in bench._processes.values()))
    bench._control.close()


def records(rig) -> list[str]:
    return [path.read_text() for path in Path(rig.address).parent.glob("*.lock")]


def leave(rig, device: str, state: dict) -> None:
    lock = DeviceLock.acquire(device, Path(rig.address).parent, {"state": state})
    os.close(lock._descriptor)  # as the kernel does for a process that died
    lock._descriptor = None


def test_a_supply_that_was_cut_is_given_back(rig, opened):
    first = opened()
    first.supplies.off(first.device(ALIAS))
    die(first)
    second = opened()

    assert second.notes == ["a run that died had cut the supply of EXP GDC TH3P4G3: it was given back"]
    assert second.device(ALIAS).probe() == ""
    second.close()
    assert records(rig) == ["", ""]


def test_several_things_at_a_time_are_put_right_in_the_order_that_works(opened):
    first = opened()
    device = first.device(ALIAS)
    first.removals.take("unbind", device)
    first.plugs.detach(device)
    die(first)
    second = opened()

    assert [note.partition(":")[0] for note in second.notes] == [
        "a run that died had unplugged EXP GDC TH3P4G3",
        "a run that died had left a device taken from its driver",
    ]
    second.device(ALIAS).ensure_healthy()


def test_a_quarantine_is_told_and_the_device_is_tried_again(rig, opened, monkeypatch):
    first = opened()
    device = first.device(ALIAS)
    monkeypatch.setattr(first, "allow", Allow())
    monkeypatch.setattr(device, "probe", lambda: "it is tired")
    with pytest.raises(BenchFault, match="is quarantined"):
        device.ensure_healthy()
    die(first)
    second = opened()

    assert second.notes == [f"a run that died had quarantined {ALIAS} (it is tired): it is tried again"]
    second.device(ALIAS).ensure_healthy()
    second.close()
    assert records(rig) == ["", ""]


def test_an_orderly_end_leaves_nothing_to_put_right(rig, opened):
    first = opened()
    first.supplies.off(first.device(ALIAS))

    assert first.close() == []
    assert records(rig) == ["", ""]
    assert opened().notes == []


def test_what_cannot_be_put_right_stays_noted(rig, opened):
    router = {"uid": "0011223344556677", "name": "0-1", "role": "enclosure", "domain": "domain0", "parent": "0-0"}
    away = {"enclosure": {**router, "vendor_name": "Acme", "device_name": "No Such Box"}, "gpus": 1}
    leave(rig, "of a lab that was rebuilt", {"powered off": [away]})

    for _ in range(2):
        bench = opened()
        (note,) = bench.notes
        assert note.startswith(
            "a run that died had cut the supply of Acme No Such Box, and it could not be given back: no actuator of "
        )
        bench.close()
    states = [json.loads(text)["state"] for text in records(rig) if text]
    assert [list(state) for state in states] == [["powered off"]]
    leave(rig, "of a lab that was rebuilt", {})


@pytest.mark.parametrize("state", [{"powered off": [{}]}, {"powered off": ["x"]}, {"quarantine": ["x"]}])
def test_a_note_that_cannot_be_read_stops_no_run(rig, opened, state):
    leave(rig, "unreadable", state)

    notes = opened().notes

    unread = "a run that died left a record that cannot be read; see that all enclosures have power"
    assert notes == ([unread] if "powered off" in state else [])


def test_a_lock_whose_holder_died_is_taken_and_one_whose_holder_lives_is_named(opened):
    first = opened()
    second = opened()
    assert second.device(ALIAS).quarantine.startswith("device GPU-")
    assert f"is in use by pid {os.getpid()} of " in second.device(ALIAS).quarantine
    second.close()
    die(first)

    assert opened().device(ALIAS).quarantine == ""
