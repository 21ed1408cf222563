"""How runs end, and what they leave: locks, Ctrl-C, SIGTERM, SIGKILL; and that the next run puts it right."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from pytest_runs import Finished, alive, descendants, eventually, hil, machine, suite

pytestmark = pytest.mark.slow  # whole runs of pytest in processes of their own

if sys.platform != "linux":
    pytest.skip("looks at processes through /proc", allow_module_level=True)

ALIAS = "rtx-4080-ut4g-dock"
SUITE = """
    import time
    from pathlib import Path

    def signal_and_wait(what="ready"):
        Path(what).touch()
        time.sleep(100)

    def test_waits(device, hil_bench, hotplug):
        device.process()
        hotplug.detach(orderly=False)
        signal_and_wait()

    def test_in_a_call(device, hotplug):
        hotplug.detach(orderly=False)
        device.bare_call("lab.stuck:for_ever", deadline=1000.0)

    def test_holds(device):
        device.process()
        signal_and_wait()

    def test_plain(transfer):
        transfer.round_trip(64)
"""
LAB = """
    import ctypes
    from pathlib import Path

    def for_ever(context):
        Path("ready").touch()
        ctypes.PyDLL(None).sleep(600)
"""


@pytest.fixture
def lab(tmp_path):
    """A suite that stops with its enclosure unplugged, and the machine it runs on."""
    with machine("macbook-pro-usb4") as address, suite(tmp_path) as made:
        (tmp_path / "lab").mkdir()
        made.write(test_it=SUITE, **{"lab/stuck": LAB})
        yield made, f"--hil-bench=sim:{address}"


def start(lab, test: str):
    """Start a run and wait until its test has unplugged its device; the run and its processes."""
    made, bench = lab
    run = made.start(bench, "-k", test, env={"PYTHONPATH": str(made.folder)})
    assert eventually(lambda: (made.folder / "ready").exists() or run.poll() is not None)
    assert run.poll() is None, made.finish(run)
    return run, descendants(run.pid)


def is_plugged_in(bench: str) -> bool:
    listed = hil("list", "--json", "--bench", bench.removeprefix("--hil-bench="))
    return [device["alias"] for device in json.loads(listed.stdout)["devices"]] == [ALIAS]


@pytest.mark.parametrize(
    ("test", "number"),
    [("test_waits", signal.SIGTERM), ("test_in_a_call", signal.SIGINT)],
    ids=["sigterm", "ctrl-c in a call that never returns"],
)
def test_an_interrupted_run_plugs_in_again_and_leaves_nothing(lab, test, number):
    run, processes = start(lab, test)

    os.killpg(run.pid, number)
    over = lab[0].finish(run)

    assert over.code == pytest.ExitCode.INTERRUPTED
    assert "NOT RESTORED" not in over.out
    assert is_plugged_in(lab[1])
    assert len(processes) == 2  # of the host and of the device
    assert eventually(lambda: not any(map(alive, processes)))
    assert lab[0].left_over() == []


def test_a_second_run_is_told_who_holds_the_device(lab):
    made, bench = lab
    first, _ = start(lab, "test_holds")

    second = made.run(bench, "-k", "test_plain", allure=True)
    os.killpg(first.pid, signal.SIGINT)
    made.finish(first)

    held = f"device 00d4174024640001/10de-2704-1043-889a/0 is in use by pid {first.pid} of "
    assert held in second.line("note:")
    assert second.line("device:").endswith(", QUARANTINED")
    facts = second.results()[f"test_plain[{ALIAS}]"]
    assert facts["status"] == "broken"
    assert held in facts["statusDetails"]["message"]


def test_what_a_killed_run_left_unplugged_is_plugged_in_by_the_next(lab):
    made, bench = lab
    first, processes = start(lab, "test_waits")

    first.kill()
    made.finish(first)
    assert eventually(lambda: not any(map(alive, processes)))
    assert not is_plugged_in(bench)
    second: Finished = made.run(bench, "-k", "test_plain")

    assert second.code == 0
    assert second.outcomes() == {f"test_plain[{ALIAS}]": "PASSED"}
    assert second.line("note:").strip() == (
        "note: a run that died had unplugged ADT-Link UT4G Dock: it was plugged in again"
    )
    locks = Path(bench.removeprefix("--hil-bench=sim:")).parent.glob("*.lock")
    assert [lock.read_bytes() for lock in locks] == [b""]  # nothing is left for a third run to put right
