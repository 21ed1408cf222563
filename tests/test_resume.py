"""A run that was cut off goes on: what it had finished keeps its result, what it was doing is done again."""

from __future__ import annotations

import signal
from xml.etree import ElementTree as ET

import pytest
from pytest_runs import suite

from hil.report import record

pytestmark = pytest.mark.slow  # whole runs of pytest in processes of their own

SUITE = """
    import os, signal
    from pathlib import Path
    import pytest

    def note(name):
        with open("ran", "a") as file:
            file.write(name + "\\n")

    def test_passes(transfer, record_property):
        note("passes")
        record_property("gb_s", 3)
        transfer.round_trip(4096)

    def test_fails(device):
        note("fails")
        raise AssertionError("wrong from the beginning")

    def test_breaks(hil_bench):
        note("breaks")
        raise OSError("cable")

    def test_skips():
        pytest.skip("not today")

    @pytest.mark.xfail(reason="bug 7")
    def test_known():
        assert False

    def test_takes_the_machine_down(device):
        note("down")
        if os.environ.get("DEADLY"):
            os.kill(os.getpid(), signal.SIGKILL)

    def test_last(device):
        note("last")
        if os.environ.get("INTERRUPTED"):
            os.kill(os.getpid(), signal.SIGTERM)
"""
OPTIONS = ("--hil-bench=sim", "--hil-resume=run.jsonl", "--hil-junit=junit.xml")


@pytest.fixture
def lab(tmp_path):
    with suite(tmp_path) as made:
        yield made.write(test_it=SUITE)


def ran(lab) -> list[str]:
    return (lab.folder / "ran").read_text().split()


def cases(lab) -> dict[str, str]:
    found = ET.parse(lab.folder / "junit.xml").findall(".//testcase")
    tags = {"failure", "error", "skipped"}
    return {case.get("name").split("[")[0]: next((e.tag for e in case if e.tag in tags), "passed") for case in found}


def test_it_goes_on_where_it_was_cut_off(lab):
    first = lab.run(*OPTIONS, "--alluredir=allure", env={"DEADLY": "1"})
    seed = record.read(lab.folder / "run.jsonl").head.seed
    second = lab.run(*OPTIONS, "--alluredir=allure")
    third = lab.run(*OPTIONS, "--alluredir=allure")

    assert first.code == -signal.SIGKILL
    assert ran(lab) == ["passes", "fails", "breaks", "down", "down", "last"]
    assert f"seed: {seed} " in second.out
    assert "5 tests were finished (1 failed, 1 broken, 1 passed, 2 skipped), 1 cut off" in second.line(
        "resumes the run"
    )
    assert second.code == 1
    assert "2 failed, 3 passed, 1 skipped, 1 xfailed" in second.out
    summary = "\n".join(second.summary())
    assert "failed    test_it.py::test_fails[rtx-4080-ut4g-dock]: AssertionError: wrong from the beginning" in summary
    assert "broken    test_it.py::test_breaks: OSError: cable" in summary
    assert "skipped   1 × not today" in summary
    assert "cut off   test_it.py::test_takes_the_machine_down[rtx-4080-ut4g-dock]: 1 ×" in summary
    assert cases(lab) == {
        "test_passes": "passed",
        "test_fails": "failure",
        "test_breaks": "failure",
        "test_skips": "skipped",
        "test_known": "skipped",
        "test_takes_the_machine_down": "passed",
        "test_last": "passed",
    }
    properties = ET.parse(lab.folder / "junit.xml").findall(".//property")
    assert {p.get("name") for p in properties} == {"gb_s", "cut off"}
    name = "test_takes_the_machine_down[rtx-4080-ut4g-dock]"
    assert second.attached(name, "cut off").startswith("cut off 1 × before")
    assert len(second.results()) == 7  # those of both parts

    assert third.code == 1
    assert "is finished (1 failed, 1 broken, 3 passed, 2 skipped; ended " in third.out + third.err
    assert "Traceback" not in third.out + third.err
    found = record.read(lab.folder / "run.jsonl")
    assert {t.test.partition("::")[2].partition("[")[0]: t.attempts for t in found.tests} == {
        **dict.fromkeys(cases(lab), 1),
        "test_takes_the_machine_down": 2,
    }
    assert found.end.exit == 1


def test_a_test_that_always_takes_the_run_with_it_does_not_do_so_for_ever(lab):
    codes = [lab.run(*OPTIONS, "-k", "down or last", env={"DEADLY": "1"}).code for _ in range(2)]
    third = lab.run(*OPTIONS, "-k", "down or last", env={"DEADLY": "1"})

    assert codes == [-signal.SIGKILL, -signal.SIGKILL]
    assert third.code == 1
    assert ran(lab) == ["down", "down", "last"]
    assert "was cut off 2 × (the run was killed, or the machine went down) and is not run again" in third.out


def test_an_interrupted_run_goes_on_and_blames_nobody(lab):
    first = lab.run(*OPTIONS, "-k", "passes or last", env={"INTERRUPTED": "1"})
    second = lab.run(*OPTIONS, "-k", "passes or last")

    assert (first.code, second.code) == (2, 0)
    assert ran(lab) == ["passes", "last", "last"]
    assert "cut off" not in "\n".join(second.summary())
    assert "2 passed" in second.out


def test_when_all_was_done_but_the_end_it_still_counts(lab):
    lab.run(*OPTIONS, "-k", "fails")
    path = lab.folder / "run.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    second = lab.run(*OPTIONS, "-k", "fails")

    assert second.code == 1
    assert ran(lab) == ["fails"]
    assert "1 failed" in second.out


def test_a_record_of_another_bench_or_of_nothing_is_refused(lab):
    lab.run(*OPTIONS, "-k", "skips")
    path = lab.folder / "run.jsonl"
    path.write_bytes(
        b"".join(path.read_bytes().splitlines(keepends=True)[:-1]).replace(b'"boot_id": "', b'"boot_id": "x')
    )
    other = lab.run(*OPTIONS, "--hil-bench=sim:linux-two-enclosures")
    same = lab.run(*OPTIONS, "-k", "skips")
    two = lab.run(*OPTIONS, "--hil-record=other.jsonl")
    path.write_text("notes\n")
    notes = lab.run(*OPTIONS)

    assert [run.code for run in (other, same, two, notes)] == [4, 0, 4, 4]
    assert "is the record of a run on bench sim:macbook-pro-usb4 (simulated), and this is bench sim:linux-" in other.err
    assert "the machine under test has booted since" in same.out
    assert "--hil-resume run.jsonl goes on writing that file; --hil-record other.jsonl names another" in two.err
    assert "--hil-resume: run.jsonl is not a record that" in notes.err
