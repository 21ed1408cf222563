"""The processes that run pytest for `hil coverage`: several at once, within a limit, ended in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from pytest_runs import clean, eventually

from hil.cli.coverage.crew import Crew
from hil.cli.coverage.stop import Stop
from hil.errors import BenchFault

ALONE = ["-p", "no:cacheprovider", "-c", "/dev/null", "-q"]
SUITE = """
import os, sys, tempfile, time

def test_passes():
    open(tempfile.mkstemp()[1], "w")
    print("pid", os.getpid())

def test_fails():
    assert False

def test_waits():
    open(os.environ["LEFT"], "w").close()
    try:
        time.sleep(60)
    finally:
        open(os.environ["LEFT"], "w").write("in order")
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    file = tmp_path / "test_it.py"
    file.write_text(SUITE)
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))
    return [*ALONE, "--rootdir", str(tmp_path), str(file)]


def start(crew, suite, *arguments):
    return crew.start([*suite, *arguments], crew.folder())


def ended(crew, count=1):
    found = []
    assert eventually(lambda: found.extend(crew.wait(1.0)) or len(found) >= count, 60)
    return found


def begun(crew, suite, folder):
    """Start the test that waits, and wait until it runs."""
    start(crew, suite, "-k", "waits")
    assert eventually((folder / "left").exists, 60)


def test_runs_are_told_apart_by_their_tickets_and_leave_their_output(suite):
    with Crew(2, limit=60) as crew:
        green, red = start(crew, suite, "-k", "passes", "-s"), start(crew, suite, "-k", "fails")
        assert (crew.idle, crew.busy) == (0, True)

        found = {one.ticket: one for one in ended(crew, 2)}

        assert (crew.idle, crew.busy) == (2, False)
        assert {ticket: one.status for ticket, one in found.items()} == {green: 0, red: 1}
        assert "assert False" in found[red].output
        assert "pid" in found[green].output
        assert len(list((found[green].folder / "tmp").iterdir())) == 1
        crew.forget(found[green])
        assert (found[green].folder.exists(), found[green].output) == (False, "")
        folder = crew._folder
    assert not folder.exists()


def test_a_process_runs_one_after_the_other(suite):
    with Crew(1, limit=60) as crew:
        pids = set()
        for _ in range(2):
            start(crew, suite, "-k", "passes", "-s")
            (one,) = ended(crew)
            assert one.status == 0
            pids.add(one.output.partition("pid")[2].split()[0])

    assert len(pids) == 2


def test_a_run_is_killed_at_its_limit(suite, tmp_path):
    with Crew(1, limit=1.0) as crew:
        start(crew, suite, "-k", "waits")

        (one,) = ended(crew)

        assert (one.hung, one.status) == (True, -signal.SIGKILL)
        assert one.seconds >= 1.0
        start(crew, suite, "--version")
        (after,) = ended(crew)
        assert (after.hung, after.status) == (False, 0)


def test_an_interruption_lets_runs_end_in_order(suite, tmp_path):
    with Crew(1, limit=60) as crew:
        begun(crew, suite, tmp_path)

        crew.interrupt()

        assert not crew.busy
    assert (tmp_path / "left").read_text() == "in order"


def test_leaving_ends_what_runs_in_order(suite, tmp_path):
    with Crew(1, limit=60) as crew:
        begun(crew, suite, tmp_path)

    assert (tmp_path / "left").read_text() == "in order"


def test_a_process_that_ends_by_itself_is_told_of_with_what_it_said(suite):
    with Crew(1, limit=60) as crew:
        start(crew, suite, "-k", "waits")
        crew._slots[0].process.kill()

        with pytest.raises(BenchFault, match=r"^the process that runs pytest ended \(status -9\): it said nothing$"):
            ended(crew)
        with pytest.raises(BenchFault, match="ended"):
            crew.interrupt()


def test_where_forking_is_not_safe_a_run_is_a_fresh_interpreter(suite, tmp_path):
    code = "import hil.cli.coverage.server as s; s.Server(fork=False).serve()"
    order = {"run": [*suite, "-k", "passes"], "folder": str(tmp_path)}

    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**clean(os.environ), "LEFT": str(tmp_path / "left")},
    ) as process:
        process.stdin.write(json.dumps({"signal": signal.SIGINT}) + "\n")  # nothing runs: nobody is hit
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        told = json.loads(process.stdout.readline())
        (tmp_path / "tmp").rename(tmp_path / "before")
        process.stdin.write(json.dumps({**order, "run": [*suite, "-k", "waits"]}) + "\n")
        process.stdin.flush()
        assert eventually((tmp_path / "left").exists, 60)
        process.stdin.close()  # whoever gave the orders is gone

    assert told == {"ended": 0}
    assert (tmp_path / "left").read_text() == "in order"
    assert process.returncode == 0


def test_ctrl_c_and_sigterm_ask_once_and_break_off_the_second_time():
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()

    with stop.listening():
        assert not stop.asked
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_budget_is_spent_once_its_time_is_over():
    assert (Stop().spent, Stop(60).spent, Stop(0).spent) == (False, False, True)
