"""The window of a bench, from one test to the next: when it is opened, what it carries over, what makes it close."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sim_rig import Rig

from hil.bench import Bench, Device, Wish, open_bench, parse
from hil.errors import DeviceHung, NotPermitted
from hil.hosts.bench_sections import Allow
from hil.sim.faults.base import NEVER, Fault, Trigger

FIRST, SECOND = "rtx-4090-th3p4g3", "rtx-6000-ada-egpu-node-titan"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = open_bench(
        Wish(selection=parse("sim:linux-two-enclosures"), folder=tmp_path_factory.mktemp("out"), inline=True)
    )
    yield made
    made.close()


def spend(bench: Bench, seconds: float) -> None:
    bench.device(FIRST).bare_call("soak:idle", deadline=seconds + 1.0, seconds=seconds)


def test_a_window_that_its_own_device_closed_last_goes_on_and_any_other_begins_anew(bench):
    first, second = bench.device(FIRST), bench.device(SECOND)
    seconds = []
    for device, afresh in ((first, False), (first, False), (first, True), (second, False), (first, False)):
        spend(bench, 1.0)
        bench.counting.begin(device, afresh=afresh)
        spend(bench, 2.0)
        seconds.append(round(bench.counting.end(device).seconds, 3))

    # The second alone counts the second before it, too: the window stood open.
    assert seconds == [2.0, 3.0, 2.0, 2.0, 2.0]


def test_without_a_window_nothing_was_seen(bench):
    opencl = Device(bench, replace(bench.device(FIRST).facts, gpu=None))

    bench.counting.begin(opencl)

    assert bench.counting.end(opencl) is None


def test_a_device_that_came_back_elsewhere_gets_a_window_of_its_own(bench):
    device = bench.device(FIRST)
    bench.counting.begin(device)
    gpu = device.facts.gpu
    moved = Device(
        bench, replace(device.facts, gpu=replace(gpu, function=replace(gpu.function, address="0000:99:00.0")))
    )

    assert bench.counting.end(moved) is not None
    assert bench.counting.end(moved) is None


def test_what_cannot_be_read_is_said_once(bench):
    broken = Device(bench, replace(bench.device(FIRST).facts, gpu=replace(bench.device(FIRST).facts.gpu, uuid=5)))
    bench.notes.clear()
    broken.gpu_facts = dict

    for _ in range(2):
        bench.counting.begin(broken)
        assert bench.counting.end(broken) is None
    assert len(bench.notes) == 1
    assert bench.notes[0].startswith("error counters and kernel log were not read around every test: ")


class Stuck(Fault):
    """NVML's replay counter is never told again, once that is wanted."""

    name, domain, story, seen_by = "stuck", "driver", "The driver waits for a lock that nobody gives back.", "driver"
    wanted = False

    def on_nvml(self, function, answer):
        return {**answer, "seconds": NEVER} if self.wanted and function == "nvmlDeviceGetPcieReplayCounter" else answer


def test_the_first_reading_that_hangs_is_its_tests_and_the_second_is_the_last(tmp_path):
    faults = []

    def make(site):
        faults.append(Stuck(Trigger(), site))
        return faults[0]

    rig = Rig("linux-two-enclosures", make)
    made = open_bench(Wish(selection=parse(f"sim:{rig.address}"), folder=tmp_path))
    device, counting, told = made.device(FIRST), made.counting, []
    counting.begin(device)
    faults[0].wanted = True
    began = made.machine_now()
    for _ in range(4):
        told.append((counting.end(device), counting.hung))
        counting.begin(device)
    spent = made.machine_now() - began
    notes = [note for note in made.notes if "were not read around every test" in note]
    made.close()
    rig.close()

    assert [seen for seen, _ in told] == [None] * 4
    assert isinstance(told[0][1], DeviceHung)
    assert "nvmlDeviceGetPcieReplayCounter" in str(told[0][1])
    assert [hung for _, hung in told[1:]] == [None] * 3
    assert 120 <= spent < 125
    assert len(notes) == 1


def test_what_needs_consent_provokes_and_a_write_through_a_bar_does_not(bench):
    device = bench.device(FIRST)
    bench.counting.begin(device)

    bench.require("bar_write", device)
    assert bench.counting.provoked == []
    bench.require("reset", device)
    assert bench.counting.provoked == ["reset"]
    bench.counting.begin(device)
    assert bench.counting.provoked == []


def test_a_bench_that_does_not_allow_writes_through_bars_says_so(bench):
    allowed, bench.allow = bench.allow, Allow()
    try:
        assert bench.cannot_write_bars(bench.device(FIRST)) == (
            "the bench does not allow writes through BARs (allow.bar_write)"
        )
        with pytest.raises(NotPermitted, match="does not allow bar_write"):
            bench.require("bar_write", bench.device(FIRST))
    finally:
        bench.allow = allowed
    assert bench.cannot_write_bars(bench.device(FIRST)) == ""
