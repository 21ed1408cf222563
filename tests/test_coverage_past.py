"""The nights before a scored run: made once a profile, copied for each run, and only where there is throughput."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.cli.coverage import command, past
from hil.cli.coverage.command import Suites
from hil.cli.coverage.crew import Crew
from hil.cli.coverage.stop import Stop
from hil.errors import BenchFault
from hil.history import judge_series, open_history

NIGHT = """
from hil.model import MIB, Direction


def test_it(throughput):
    throughput.sample(Direction.H2D, 4 * MIB, rounds=2, warmups=1)
"""
WAITS = """
import os, time

def test_it():
    open(os.environ["LEFT"], "w").close()
    try:
        time.sleep(60)
    finally:
        open(os.environ["LEFT"], "w").write("in order")
"""


def suites(folder: Path, text: str, kind: str = past.KIND) -> Suites:
    (folder / kind).mkdir()
    (folder / kind / "test_it.py").write_text(text)
    return Suites(folder=folder, kinds=(kind,))


def make(crew: Crew, where: Suites, *profiles: str, stop: Stop | None = None, tell=lambda done, total: None):
    return past.make(profiles, crew, where, where.folder, seed=1, stop=stop or Stop(), tell=tell)


def test_a_run_gets_a_copy_of_its_profiles_past(tmp_path):
    source = tmp_path / "source.db"
    source.write_bytes(b"nights")
    (tmp_path / "run").mkdir()

    option, own = past.given({"mac": source}, "mac", tmp_path / "run")

    assert option == "--hil-history"
    assert Path(own).parent == tmp_path / "run"
    assert Path(own).read_bytes() == b"nights"
    assert past.given({"mac": source}, "other", tmp_path / "run") == []


def test_a_clean_night_is_of_one_kind_and_has_no_fault(tmp_path):
    arguments = command.clean_night("mac", suites(tmp_path, ""), past.KIND, tmp_path / "h.db", seed=3)
    assert "--hil-fault" not in arguments
    assert arguments[-3:] == ["--hil-history", str(tmp_path / "h.db"), str(tmp_path / past.KIND)]


def test_suites_without_throughput_have_no_past(tmp_path):
    with Crew(1, limit=60.0) as crew:
        assert make(crew, suites(tmp_path, "", "driver"), "macbook-pro-usb4") == {}


def test_no_night_begins_once_it_is_to_end_or_the_budget_is_spent(tmp_path):
    asked = Stop()
    asked.asked = True
    where = suites(tmp_path, NIGHT)

    with Crew(1, limit=60.0) as crew:
        assert make(crew, where, "macbook-pro-usb4", stop=asked) == {}
        assert make(crew, where, "macbook-pro-usb4", stop=Stop(0)) == {}
        assert crew.idle == 1


@pytest.mark.slow
def test_ctrl_c_ends_a_night_in_order(tmp_path, monkeypatch):
    left, stop = tmp_path / "left", Stop()
    monkeypatch.setenv("LEFT", str(left))

    def ask_once_it_runs(_done, _total):
        stop.asked = left.exists()

    with Crew(1, limit=60.0) as crew:
        found = make(
            crew, suites(tmp_path, WAITS), "macbook-pro-usb4", "mac-mini-usb4", stop=stop, tell=ask_once_it_runs
        )
        assert not crew.busy

    assert found == {}
    assert left.read_text() == "in order"


@pytest.mark.slow
def test_a_night_that_is_killed_names_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))

    with (
        Crew(1, limit=1.0) as crew,
        pytest.raises(BenchFault, match=r"was killed at --limit after \d+(\.\d)? s on a clean"),
    ):
        make(crew, suites(tmp_path, WAITS), "macbook-pro-usb4")


@pytest.mark.slow
def test_a_clean_night_becomes_thirty_that_nobody_would_call_changed(tmp_path):
    told = []
    with Crew(1, limit=60.0) as crew:
        names = ["macbook-pro-usb4"] * 2
        found = make(crew, suites(tmp_path, NIGHT), *names, tell=lambda done, total: told.append((done, total)))
    assert set(told) == {(0, 1)}
    with open_history(found["macbook-pro-usb4"]) as history:
        (verdict,) = [judge_series(history, key) for key in history.series()]
    assert (verdict.status, len(verdict.nights)) == ("steady", 30)


@pytest.mark.slow
def test_a_suite_that_is_red_on_a_clean_machine_makes_no_past(tmp_path):
    red = suites(tmp_path, "def test_it(device):\n    assert device is None\n")
    with Crew(1, limit=60.0) as crew, pytest.raises(BenchFault, match="no history for macbook-pro-usb4"):
        make(crew, red, "macbook-pro-usb4")
