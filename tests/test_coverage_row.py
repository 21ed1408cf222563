"""What is kept of a run, from the record it wrote, its exit code and its output; and what is told meanwhile."""

from __future__ import annotations

import signal

import pytest
from coverage_rows import row

from hil.cli.coverage.crew import Ended
from hil.cli.coverage.plan import Job, Kind
from hil.cli.coverage.progress import Progress
from hil.cli.coverage.row import End, Tally, judge
from hil.report.record import Began, Finished, Part, Writer
from hil.report.record import End as RecordEnd

JOB = Job(kind=Kind.FAULT, number=1, profile="mac", seed=7, fault="melts", seen_by="driver", text="melts:seed=5")
WORDS = "64 KiB hold the previous run's data"


def record(path, *tests, struck=None, begun=()):
    """The record of a run; with `struck` it came to an end."""
    writer = Writer(path, append=False, durable=False)
    writer.part(
        Part(hil="1", bench="sim", nature="simulated", simulated=True, seed=7, boot_id="", command="", started="")
    )
    for name in (*begun, *(test.test for test in tests)):
        writer.began(Began(began=name, at=0.0))
    for test in tests:
        writer.test(test)
    if struck is not None:
        writer.end(RecordEnd(ended="", exit=0, struck=struck))
    writer.close()
    return path


def told(name, outcome="passed", **facts):
    return Finished(test=name, device="gpu", outcome=outcome, seconds=2.0, at=1.0, **facts)


def ended(folder, status=0, output="", *, hung=False):
    (folder / "output").write_text(output)
    return Ended(ticket=1, status=status, hung=hung, seconds=3.0, folder=folder)


def judged(folder, tests, status, *, shows_as="", tally=None, **facts):
    path = record(folder / "r", *tests, **facts)
    return judge(JOB, ended(folder, status), path, tally or Tally(), shows_as)


def test_the_first_red_test_is_the_alarm(tmp_path):
    tests = [
        told("driver/t.py::test_skips", "skipped"),
        told("driver/t.py::test_a"),
        told("transfer/t.py::test_b[gpu]", "failed", error="DataCorrupt", hop="copy path", message=WORDS),
        told("driver/t.py::test_c", "broken"),
    ]

    found = judged(tmp_path, tests, 1, shows_as="PREVIOUS run", struck={"melts:seed=5": 3})

    assert (found.end, found.test, found.suite) == (End.ALARM, "transfer/t.py::test_b[gpu]", "transfer")
    assert (found.error, found.hop, found.message) == ("DataCorrupt", "copy path", WORDS)
    assert (found.right, found.struck, found.tests, found.host_seconds, found.seconds) == (True, 3, 2, 4.0, 3.0)
    assert (found.key, found.given, found.severity) == (JOB.key, {}, None)


@pytest.mark.parametrize(("shows_as", "right"), [("flip", False), ("", None)])
def test_a_message_that_says_something_else_is_wrong_if_the_fault_says_what_is_right(tmp_path, shows_as, right):
    tests = [told("driver/t.py::test_a", "broken", message=WORDS)]

    assert judged(tmp_path, tests, 1, shows_as=shows_as).right is right


def test_a_long_message_is_cut(tmp_path):
    found = judged(tmp_path, [told("driver/t.py::test_a", "failed", message="x\n" * 999)], 1)

    assert len(found.message) == 400
    assert found.message.endswith("x …") or found.message.endswith("x…")


@pytest.mark.parametrize("status", [0, 5])
def test_a_run_without_an_alarm_is_green(tmp_path, status):
    found = judged(tmp_path, [told("driver/t.py::test_a")], status, struck={"melts:seed=5": 0})

    assert (found.end, found.struck, found.test) == (End.GREEN, 0, "")


def test_runs_of_one_job_add_up(tmp_path):
    tally = Tally()
    judged(tmp_path, [told("driver/t.py::test_a")], 0, tally=tally, struck={"melts:seed=5": 1})
    found = judged(tmp_path, [told("transfer/t.py::test_b", "failed")], 1, tally=tally, struck={"melts:seed=5": 2})

    assert (found.struck, found.tests, found.seconds, found.host_seconds) == (3, 2, 6.0, 4.0)


def test_a_run_that_did_not_live_to_tell_leaves_open_whether_the_fault_acted(tmp_path):
    assert judged(tmp_path, [told("driver/t.py::test_a", "failed")], 1).struck is None


def test_a_run_that_hung_names_the_test_it_hung_in(tmp_path):
    path = record(tmp_path / "r", begun=["driver/t.py::test_a"])

    inside = judge(JOB, ended(tmp_path, -9, hung=True), path, Tally(), "")
    outside = judge(JOB, ended(tmp_path, -9, hung=True), tmp_path / "none", Tally(), "")

    assert (inside.end, inside.message) == (End.HUNG, "the run itself hung, in driver/t.py::test_a")
    assert outside.message == "the run itself hung, outside any test"


@pytest.mark.parametrize(
    ("status", "output", "end", "error", "message"),
    [
        (4, "ERROR: hil: no host process\n", End.ALARM, "exit code 4", "ERROR: hil: no host process"),
        (1, "1 passed\nNOT RESTORED gpu: unplugged\n", End.ALARM, "exit code 1", "NOT RESTORED gpu: unplugged"),
        (2, "E   ImportError: no x\nERROR t.py\n", End.CRASHED, "exit code 2", "ImportError: no x"),
        (3, "INTERNALERROR> KeyError\n", End.CRASHED, "exit code 3", "INTERNALERROR> KeyError"),
        (-signal.SIGSEGV, "", End.CRASHED, "signal 11", "it printed nothing"),
        (4, "usage: pytest\n", End.ALARM, "exit code 4", "usage: pytest"),
    ],
)
def test_a_red_run_without_a_red_test_is_told_by_its_last_words(tmp_path, status, output, end, error, message):
    found = judge(JOB, ended(tmp_path, status, output), tmp_path / "none", Tally(), "restored")

    assert (found.end, found.error, found.message, found.suite) == (end, error, message, "")
    assert found.right is (("RESTORED" in message) if end is End.ALARM else None)


def test_a_row_says_how_to_repeat_it():
    odd = row(fault="my faults.py:X", given={"a": "1", "b": "2"})

    assert odd.repeat == "--hil-bench sim:mac --hil-seed 7 --hil-fault 'my faults.py:X:a=1,b=2'"
    assert row(fault="").repeat == "--hil-bench sim:mac --hil-seed 7"


class Terminal:
    """Standard error of somebody who looks on."""

    def __init__(self, *, live):
        self.text, self._live = "", live

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return self._live


@pytest.mark.parametrize("live", [True, False])
def test_progress_is_one_line_at_a_terminal_and_rare_in_a_log(monkeypatch, live):
    terminal = Terminal(live=live)
    monkeypatch.setattr("sys.stderr", terminal)
    progress = Progress(3)

    progress.add(row(0))
    progress.add(row(1, end=End.GREEN))
    progress.end()

    assert ("2 of 3 runs (1 alarm, 1 green) in " in terminal.text) is live
    assert ("\n" in terminal.text) is False


def test_progress_tells_of_the_nights_before_the_runs(monkeypatch):
    terminal = Terminal(live=True)
    monkeypatch.setattr("sys.stderr", terminal)

    Progress(3).prepare(2, 12)

    assert "2 of 12 clean nights for histories in 0.0 s" in terminal.text


def test_a_log_is_told_now_and_then(monkeypatch):
    terminal = Terminal(live=False)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("hil.cli.coverage.progress._EVERY", 0.0)
    progress = Progress(1)

    progress.add(row(0))

    assert terminal.text.startswith("1 of 1 runs (1 alarm) in ")
    assert terminal.text.endswith("\n")
