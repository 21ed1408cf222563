"""`hil coverage` as a user starts it: real runs of small suites against faults of this file's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from coverage_rows import HEAD, about, measured, row
from pytest_runs import LIMIT, clean, eventually, hil

from hil import __version__
from hil.cli.coverage import catalogue, digests, ledger
from hil.cli.coverage.command import suites

FAULTS = '''
from hil.sim.faults.base import Fault

class Torn(Fault):
    """Seen by the transfer test."""
    name, domain, story, seen_by = "torn", "dma", "Half a chunk is lost.", "transfer"
    shows_as = "came back wrong"

    def on_chunk(self, chunk):
        if len(chunk.data) > 1 and self.strikes(chunk.gpu):
            chunk.data = chunk.data[: len(chunk.data) // 2]
        return (chunk,)

class Unseen(Fault):
    """Acts, and changes nothing."""
    name, domain, story, seen_by = "unseen", "driver", "A call is slow.", "driver"

    def on_driver_call(self, call):
        self.strikes(call.gpu)

class Idle(Unseen):
    """Never acts."""
    name = "idle"

    def on_driver_call(self, call):
        pass

class Small(Torn):
    """Nobody could see it."""
    name = "small"

    @classmethod
    def below_sight(cls, parameters):
        return "smaller than a byte"

class Calm(Unseen):
    """No fault at all."""
    name, control = "calm", True
'''
SUITES = {
    "driver/test_driver.py": """
import pytest

@pytest.mark.quick
def test_it_answers(device):
    assert device.alias
""",
    "transfer/test_transfer.py": """
def test_bytes_arrive(transfer):
    transfer.round_trip(4096)
""",
}
SLOW = {
    "driver/test_slow.py": """
import time

def test_it_takes_its_time(device):
    time.sleep(60)
"""
}


@pytest.fixture
def lab(tmp_path):
    """A folder with the faults and the suites above, and one for temporary files."""
    (tmp_path / "faults.py").write_text(FAULTS)
    put(tmp_path / "suites", SUITES)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def put(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def command(lab, *names, suites="suites", **options):
    faults = [part for name in names for part in ("--fault", f"{lab}/faults.py:{name}")]
    pairs = {"draws": 1, "jobs": 2, "json": lab / "c.json", "suites": lab / suites, **options}
    return ["coverage", *faults, *(part for k, v in pairs.items() for part in (f"--{k}", str(v)))]


def run(lab, *names, **options):
    return hil(*command(lab, *names, **options), env={"TMPDIR": str(lab / "tmp")})


def rows(lab):
    return {
        row["fault"].rpartition(":")[2] or row["kind"]: row for row in json.loads((lab / "c.json").read_text())["runs"]
    }


def left_over(lab):
    return sorted(path.name for path in (lab / "tmp").iterdir() if path.name != "hil-locks")


@pytest.mark.slow
def test_a_fault_is_caught_by_a_test_of_its_kind_and_another_is_missed_by_all(lab):
    done = run(lab, "Torn", "Unseen", clean=1)

    found = rows(lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["Torn"]["end"], found["Torn"]["suite"], found["Torn"]["right"]) == ("alarm", "transfer", True)
    assert found["Torn"]["test"].startswith("transfer/test_transfer.py::test_bytes_arrive[")
    assert (found["Torn"]["error"], found["Torn"]["hop"]) == ("DataCorrupt", "copy path")
    assert (found["Torn"]["tests"], found["Unseen"]["tests"], found["clean"]["tests"]) == (1, 2, 1)
    assert (found["Unseen"]["end"], found["clean"]["end"], found["clean"]["struck"]) == ("green", "green", None)
    assert found["Unseen"]["struck"] > 0 < found["Torn"]["struck"]
    assert "faults.py:Unseen: missed with --hil-bench sim:macbook-pro-usb4 --hil-seed " in done.stdout
    assert left_over(lab) == []


@pytest.mark.slow
def test_a_measurement_goes_on_where_it_ended(lab):
    run(lab, "Idle", "Small", "Calm")
    before = rows(lab)

    done = run(lab, "Idle", "Small", "Calm", clean=1)

    assert done.returncode == 0
    assert (before["Small"]["end"], before["Idle"]["struck"], before["Calm"]["kind"]) == ("not run", 0, "control")
    assert {key: row for key, row in rows(lab).items() if key != "clean"} == before
    assert "1 of 1 draws left out: it never acted" in done.stdout
    assert "1 of 1 draws left out: below sight: smaller than a byte" in done.stdout
    assert "Calm: 0 alarms in 1 runs" in done.stdout


@pytest.mark.slow
def test_ci_fails_when_a_fault_that_was_caught_is_lost(lab):
    run(lab, "Torn")
    put(lab / "blind", {**SUITES, "transfer/test_transfer.py": SUITES["driver/test_driver.py"]})
    told = {"json": lab / "ci.json", "baseline": lab / "c.json"}

    seeing = hil(*command(lab, "Torn", **told), "--ci")
    blind = hil(*command(lab, "Torn", suites="blind", **told), "--ci", "--afresh")

    assert seeing.returncode == 0, seeing.stdout
    assert blind.returncode == 1, blind.stdout
    assert "faults.py:Torn: caught in 1 of 1 draws before, now in 0 of 0" in blind.stdout.splitlines()[-1]


@pytest.mark.slow
def test_an_alarm_on_a_clean_machine_fails(lab):
    put(lab / "nervous", {"driver/test_driver.py": SUITES["driver/test_driver.py"] + "    assert not device.alias\n"})

    done = run(lab, suites="nervous", fault=f"{lab}/faults.py:Idle", clean=1)

    assert done.returncode == 1
    assert "clean machines, quick: 1 alarms in 1 runs" in done.stdout
    assert "alarm, though it had not acted" in done.stdout


@pytest.mark.slow
def test_a_run_that_hangs_is_a_result(lab):
    put(lab / "slow", SLOW)

    done = run(lab, "Unseen", suites="slow", limit="4s")

    found = rows(lab)["Unseen"]
    assert (done.returncode, found["end"], found["struck"]) == (0, "hung", None)
    # On a busy machine the limit may be reached before the test has begun.
    assert found["message"].startswith(
        ("the run itself hung, in driver/test_slow.py::", "the run itself hung, outside")
    )
    assert "1 runs hung or crashed themselves" in done.stdout
    assert eventually(lambda: left_over(lab) == [])


@pytest.mark.slow
def test_ctrl_c_ends_the_runs_in_order_and_keeps_what_is_finished(lab):
    put(lab / "slow", {**SLOW, **{name: text for name, text in SUITES.items() if "transfer" in name}})
    arguments = command(lab, "Torn", "Unseen", suites="slow", jobs=1)
    started = subprocess.Popen(
        [sys.executable, "-m", "hil.cli", *arguments],
        env={**clean(os.environ), "TMPDIR": str(lab / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert eventually(lambda: (lab / "c.json").exists() and rows(lab).keys() == {"Torn"}, LIMIT)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=LIMIT)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)

    assert started.returncode == 130, err
    assert f"what was finished is kept in {lab / 'c.json'}" in err
    assert "1 runs were not made" in out
    assert rows(lab)["Torn"]["end"] == "alarm"
    assert eventually(lambda: left_over(lab) == [])


@pytest.mark.slow
def test_nothing_begins_once_the_budget_is_spent(lab):
    done = run(lab, "Torn", draws=6, jobs=1, budget="1s")

    made = len(json.loads((lab / "c.json").read_text())["runs"])
    assert done.returncode == 0
    assert 1 <= made < 6
    assert f"{6 - made} runs were not made" in done.stdout


@pytest.mark.slow
def test_suites_that_cannot_be_run_at_all_are_no_score(lab):
    put(lab / "broken", {"driver/test_broken.py": "import no_such_module\n"})

    done = run(lab, "Unseen", suites="broken", draws=3)

    assert done.returncode == 1
    assert done.stderr.startswith("hil: pytest itself breaks before the first test, 3 times in a row (exit code 2: ")
    assert rows(lab) == {}


@pytest.mark.slow
def test_what_is_finished_is_shown_when_the_runs_themselves_fail(lab):
    deadly = "import os\n\ndef test_it(device):\n    os.kill(os.getppid(), 9)\n"
    put(lab / "deadly", {**SUITES, "driver/test_driver.py": deadly})

    done = run(lab, "Torn", "Unseen", suites="deadly", jobs=1)

    assert done.returncode == 1
    assert done.stderr.startswith("hil: the process that runs pytest ended (status -9)")
    assert "faults.py:Torn  1/1 transfer" in done.stdout
    assert "1 runs were not made" in done.stdout


def test_a_file_that_another_command_goes_on_with_is_left_alone(tmp_path):
    path = tmp_path / "c.json"

    with ledger.alone(path):
        done = hil("coverage", "--fault", "bit-flip", "--json", str(path))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hil: {path} is in use by pid {os.getpid()} of ")
    assert len(done.stderr.splitlines()) == 1
    assert not path.exists()


def test_one_fault_of_a_measurement_of_all_goes_on_and_does_not_complete_it(tmp_path):
    path = tmp_path / "c.json"
    digest = digests.suites(suites(None)), digests.faults(catalogue.chosen(()))
    head = replace(HEAD, hil=__version__, draws=1, suites=digest[0], catalogue=digest[1])
    ledger.write(path, measured(row(0, fault="bit-flip"), about=[about("bit-flip")], head=head, left=7))

    done = hil("coverage", "--fault", "bit-flip", "--draws", "1", "--json", str(path))

    assert (done.returncode, done.stderr) == (0, "")
    assert "7 runs were not made" in done.stdout
    assert ledger.read(path).left == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "no-such"], "fault 'no-such'"),
        (["--fault", "bit-flip", "--budget", "soon"], "--budget: 'soon' is no time above 0"),
        (["--fault", "bit-flip", "--limit", "0"], "--limit: '0' is no time above 0"),
        (["--fault", "bit-flip", "--profile", "toaster"], "no profile 'toaster'"),
        (["--fault", "bit-flip", "--suites", "/nowhere"], "no suites at /nowhere"),
        (["--fault", "bit-flip", "--ci", "--draws", "5"], "--draws 5: --ci makes one draw a fault"),
        (["--fault", "bit-flip", "--json", __file__], "is not a file that `hil coverage --json` wrote"),
        (["--from", "/nowhere/c.json"], "/nowhere/c.json cannot be read"),
        (["--baseline", "/nowhere/c.json"], "/nowhere/c.json cannot be read"),
        (
            ["--from", "c.json", "--fault", "no-such", "--budget", "soon", "--seed", "1", "--json", "d.json"],
            "holds and measures nothing: leave out --fault, --budget, --seed, --json",
        ),
    ],
)
def test_what_makes_no_sense_is_one_message_and_exit_code_2(arguments, said):
    done = hil("coverage", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_measurement_is_shown_without_running_anything(tmp_path):
    path = Path(tmp_path / "c.json")
    ledger.write(path, measured(row(0)))

    text, table = hil("coverage", "--from", str(path)), hil("coverage", "--from", str(path), "--markdown")

    assert (text.returncode, table.returncode) == (0, 0)
    assert "melts  1/1 driver" in text.stdout
    assert table.stdout.startswith("| fault | ")
