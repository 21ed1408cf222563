"""The history in a run, as a user starts it: figures are kept, gated and judged, and a file that is none is refused."""

from __future__ import annotations

import re
import sqlite3
import time
from pathlib import Path

import pytest
from pytest_runs import Suite, suite

from hil.history import History, Key, Point, open_history
from hil.history.seeding import seed_history

pytestmark = pytest.mark.slow
DAY = 86400.0
ONE = """
    from hil.model import MIB, Direction


    def test_it(throughput):
        throughput.sample(Direction.H2D, 4 * MIB, rounds=2, warmups=1)
"""
SIM = ("--hil-bench", "sim")


@pytest.fixture
def lab(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    with suite(folder) as made:
        yield made.write(test_one=ONE)


def first_night(lab: Suite, tmp_path: Path) -> tuple[Path, Key]:
    path = tmp_path / "first.db"
    assert lab.run(*SIM, "--hil-history", str(path)).code == 0
    with open_history(path) as history:
        (key,) = history.series()
    return path, key


def points_of(path: Path, key: Key) -> list[Point]:
    with open_history(path) as history:
        return history.points(key)


def test_a_simulated_run_has_no_history_unless_one_is_named(lab, tmp_path):
    ran = lab.run(*SIM, env={"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)})
    assert ran.code == 0
    assert not [line for line in ran.summary() if line.startswith("history")]
    assert not (tmp_path / "data").exists()


def test_figures_are_kept_with_all_that_makes_their_series(lab, tmp_path):
    path = tmp_path / "h.db"

    ran = lab.run(*SIM, "--hil-seed", "7", env={"HIL_HISTORY": str(path)})

    assert f"history   1 figures kept in {path}" in ran.summary()
    with open_history(path) as history:
        (key,) = history.series()
        (point,) = history.points(key)
    assert (key.bench, key.metric, key.direction, key.nbytes) == (
        "sim:macbook-pro-usb4",
        "bandwidth",
        "H2D",
        4 << 20,
    )
    assert (key.engine, key.declared, key.negotiated, key.simulated) == ("simulated", "usb4", "2 × 20 Gb/s", True)
    assert point.context["seed"] == "7"
    assert {"os", "hil", "host", "command", "firmware", "pcie"} <= set(point.context)
    assert abs(point.time - time.time()) < 600
    assert len(point.samples) == 2


def test_none_turns_it_off_whatever_the_environment_says(lab, tmp_path):
    ran = lab.run(*SIM, "--hil-history", "none", env={"HIL_HISTORY": str(tmp_path / "h.db")})
    assert ran.code == 0
    assert not (tmp_path / "h.db").exists()


def test_a_step_below_the_nights_fails_the_test_with_numbers_and_a_chart(lab, tmp_path):
    first, key = first_night(lab, tmp_path)
    seed_history(first, tmp_path / "h.db")

    clean = lab.run(*SIM, "--hil-history", str(tmp_path / "h.db"))
    slow = lab.run(
        *SIM, "--hil-history", str(tmp_path / "h.db"), "--hil-fault", "bandwidth-step:factor=0.9", allure=True
    )

    assert clean.code == 0
    assert slow.code == 1
    told = slow.line("failed")
    assert "Regression" in told
    assert "slower than its history allows" in told
    assert re.search(r"\(-(9|10)\.\d %\)", told)
    assert "in 3 of 3 measurements" in told
    assert "bottleneck: " in told
    assert any(line.startswith("at hop") for line in slow.summary())
    (name,) = slow.results()
    assert slow.attached(name, "nights of H2D bandwidth 4 MiB").startswith("<svg")
    assert slow.results()[name]["status"] == "failed"
    # It is kept: the median of many nights is what verdicts rest on.
    assert points_of(tmp_path / "h.db", key)[-1].value < 0.92 * points_of(first, key)[0].value


def worse_since_a_week(path: Path, key: Key, level: float) -> None:
    now = time.time()
    with open_history(path) as history:
        rates = [level * (1 + 0.004 * (-1) ** n) for n in range(40)] + [level] * 12
        history.add(
            (key, Point(time=now - (len(rates) - n) * DAY, value=rate * (1.08 if n < 40 else 1.0), run=f"old {n}"))
            for n, rate in enumerate(rates)
        )


def test_a_series_that_has_been_worse_for_nights_fails_its_test_and_is_told_at_the_end(lab, tmp_path):
    first, key = first_night(lab, tmp_path)
    (point,) = points_of(first, key)
    worse_since_a_week(tmp_path / "h.db", key, point.value)

    ran = lab.run(*SIM, "--hil-history", str(tmp_path / "h.db"), allure=True)

    assert ran.code == 1
    told = ran.line("failed")
    assert "by its history, slower than it was in 1 series: H2D bandwidth worse since" in told
    assert "hil history accept" in told
    assert "WORSE     1 series: sim:macbook-pro-usb4, H2D, since" in ran.line("WORSE")


def test_a_damaged_or_foreign_file_ends_the_run_before_any_test(lab, tmp_path):
    for content in (b"no database " * 100, b""):
        path = tmp_path / "h.db"
        path.write_bytes(content)
        if not content:
            foreign(path)
        before = path.read_bytes()

        ran = lab.run(*SIM, "--hil-history", str(path))

        assert ran.code == 4
        assert "hil: --hil-history: history" in ran.err + ran.out
        assert "PASSED" not in ran.out
        assert "Traceback" not in ran.err + ran.out
        assert path.read_bytes() == before


def foreign(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.commit()
    other.close()


def test_a_clock_that_ran_backwards_is_told_once(lab, tmp_path):
    first, key = first_night(lab, tmp_path)
    history: History
    with open_history(first) as history:
        history.add([(key, Point(time=time.time() + 30 * DAY, value=3e9, run="from the future"))])

    ran = lab.run(*SIM, "--hil-history", str(first))

    assert ran.code == 0
    assert sum("a clock ran backwards" in line for line in ran.out.splitlines()) == 1
    assert len(points_of(first, key)) == 3
