"""A simulated machine in a process of its own: starts, says where, and ends with those it belongs to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sim_rig import Task, until

from hil.errors import BenchFault, UsageError
from hil.hosts import machine as module
from hil.hosts.machine import ControlLine, MachineProcess
from hil.hosts.simulated import SimulatedHost
from hil.sim.__main__ import main

PROFILE = "linux-two-enclosures"


@pytest.fixture(autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that machines take for the one of temporary files."""
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., MachineProcess]]:
    started: list[MachineProcess] = []

    def start(profile: str = PROFILE, *faults: str) -> MachineProcess:
        started.append(MachineProcess(profile, faults))
        return started[-1]

    yield start
    for machine in started:
        machine.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that ended and that nobody has waited for still has a number.
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_machine_starts_answers_and_leaves_nothing_behind(start, scratch):
    machine = start()
    address = Path(machine.address)
    assert address.is_relative_to(scratch)
    assert address.parent.stat().st_mode & 0o777 == 0o700
    assert machine.address == str(address)  # and is not asked twice

    host = SimulatedHost(machine.address)
    host.clock.sleep(3600.0)
    assert host.clock.now() == 3600.0
    host.close()
    machine.close()

    assert not alive(machine.pid)
    assert list(scratch.iterdir()) == []


def test_two_machines_are_apart(start):
    one, other = SimulatedHost(start().address), SimulatedHost(start().address)
    one.clock.sleep(5.0)

    assert (one.clock.now(), other.clock.now()) == (5.0, 0.0)
    one.close()
    other.close()


def test_faults_are_given_on(start):
    line = ControlLine(start(PROFILE, "bit-flip:times=3", "call-hangs").address, lambda _: None)

    assert line.ask("profile")["faults"] == ["bit-flip", "call-hangs"]
    line.close()


@pytest.mark.parametrize(
    ("profile", "faults", "words"),
    [
        ("no-such-machine", (), "no profile 'no-such-machine'"),
        ("/no/such/file.toml", (), "/no/such/file.toml"),
        (PROFILE, ("bit-flop",), "no 'bit-flop' is registered"),
        (PROFILE, ("bit-flip:gpu=7",), "gpu = 7: this machine has 2 GPUs"),
    ],
)
def test_what_cannot_be_simulated_is_one_clear_message(start, scratch, profile, faults, words):
    with pytest.raises(UsageError) as refused:
        _ = start(profile, *faults).address

    assert words in str(refused.value)
    assert "Traceback" not in str(refused.value)
    assert list(scratch.iterdir()) == []


def test_what_a_faults_module_prints_does_not_stand_in_the_way(start, tmp_path):
    path = tmp_path / "loud.py"
    path.write_text(
        "from hil.sim.faults.base import Fault\nprint('loaded')\nclass Loud(Fault):\n"
        "    name = domain = story = seen_by = 'loud'\n"
    )

    assert start(PROFILE, f"{path}:Loud").address


def test_a_machine_that_dies_before_it_is_up_says_why(start, tmp_path):
    path = tmp_path / "deadly.py"
    path.write_text("import os, sys\nsys.stderr.write('last words')\nsys.stderr.flush()\nos._exit(7)\n")

    with pytest.raises(BenchFault, match=r"ended \(status 7\) before it was up: last words"):
        _ = start(PROFILE, f"{path}:Class").address


def test_a_machine_that_does_not_come_up_is_given_up(start, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "START_SECONDS", 0.2)
    path = tmp_path / "slow.py"
    path.write_text("import time\ntime.sleep(60)\n")
    machine = start(PROFILE, f"{path}:Class")

    with pytest.raises(BenchFault, match=r"did not come up in 0\.2 s: it said nothing"):
        _ = machine.address
    assert not alive(machine.pid)


def test_a_machine_that_does_not_end_is_killed(start, monkeypatch):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    machine = start()
    _ = machine.address
    os.kill(machine.pid, signal.SIGSTOP)

    machine.close()

    assert not alive(machine.pid)


def test_a_machine_that_is_let_go_puts_itself_away(start, scratch):
    machine = start()
    _ = machine.address

    machine.let_go()

    until(lambda: not alive(machine.pid))
    assert list(scratch.iterdir()) == []


def test_a_machine_outlives_its_clients(start):
    machine = start()
    for n in range(3):
        client = SimulatedHost(machine.address)
        client.clock.sleep(1.0)
        assert client.clock.now() == n + 1.0
        client.close()


def test_a_machine_dies_with_its_controller_however_that_ends(scratch):
    code = (
        "import sys, time\nfrom hil.hosts.machine import MachineProcess\n"
        f"machine = MachineProcess({PROFILE!r})\nprint(machine.address, machine.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        address, pid = controller.stdout.readline().split()
        host = SimulatedHost(address)
        assert host.clock.now() == 0.0

        controller.kill()

        until(lambda: not alive(int(pid)))
    assert list(scratch.iterdir()) == []
    host.close()


def test_a_controller_is_told_that_its_machine_died(start):
    machine = start()
    line = ControlLine(machine.address, lambda _: None)
    os.kill(machine.pid, signal.SIGKILL)

    def ask_on() -> None:
        while True:
            line.ask("now")

    with pytest.raises(BenchFault, match="simulated machine"):
        Task(ask_on).result()
    line.close()


def test_a_machine_that_owes_an_answer_counts_as_gone(start, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    machine = start()
    line = ControlLine(machine.address, lambda _: None)
    os.kill(machine.pid, signal.SIGSTOP)

    with pytest.raises(BenchFault, match=r"has not answered now in 0\.2 s"):
        line.ask("now")

    os.kill(machine.pid, signal.SIGCONT)
    line.close()


# As a command


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.sim", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
        process.stdin.close()
        process.wait(20.0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_machine_that_serves_several_runs_ends_on_a_signal_and_not_on_end_of_input(scratch, number):
    with command(PROFILE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        address = json.loads(process.stdout.readline())["address"]
        process.stdin.close()
        host = SimulatedHost(address)
        assert host.clock.now() == 0.0

        process.send_signal(number)

        assert process.wait(20.0) == 0
    host.close()
    assert list(scratch.iterdir()) == []


def test_ctrl_c_is_not_for_a_private_machine(scratch):
    with command(PROFILE, "--private") as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        process.send_signal(signal.SIGINT)
        host = SimulatedHost(address)
        assert host.facts().simulated
        host.close()
    assert process.returncode == 0  # its input was closed
    assert list(scratch.iterdir()) == []


def test_what_is_wrong_is_said_on_one_line_of_json(capsys):
    assert main(["no-such-machine"]) == 2

    told = json.loads(capsys.readouterr().out)
    assert "no profile" in told["error"]


def test_a_folder_whose_path_is_too_long_for_a_socket_is_not_used(scratch, monkeypatch):
    deep = scratch / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    machine = MachineProcess(PROFILE)

    address = Path(machine.address)

    assert not address.is_relative_to(scratch)
    assert len(str(address)) < 104
    machine.close()
    assert not address.parent.exists()
    assert list(deep.iterdir()) == []
