"""What a series' nights say: since when it is worse, whether that has gone, and what changed on the bench then."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from hil.history import Point, open_history
from hil.history.store import Acceptance
from hil.history.verdict import LONGEST, by_night, judge, judge_series
from tests.test_history_store import DAY, KEY

FIRST = datetime(2026, 1, 5, 2, 0).timestamp()  # noqa: DTZ001  (a lab's own night)


def run_of(values, **context_since) -> list[Point]:
    """A point a night; `context_since` = name: night from which its value is "new"."""
    return [
        Point(
            time=FIRST + night * DAY,
            value=float(value),
            run=f"run-{night}",
            context={"hil": "1", **{k: "new" if night >= at else "old" for k, at in context_since.items()}},
        )
        for night, value in enumerate(values)
    ]


def noisy(count: int, level: float = 3e9, seed: int = 0) -> np.ndarray:
    return level * (1 + 0.01 * np.random.default_rng(seed).standard_normal(count))


def test_a_steady_series_is_steady():
    verdict = judge(KEY, run_of(noisy(60)))
    assert verdict.status == "steady"
    assert verdict.change is None
    assert len(verdict.reference()) == 60


def test_few_nights_are_too_few():
    assert judge(KEY, run_of(noisy(10))).status == "too few"
    assert judge(KEY, []).status == "too few"


def test_a_step_tells_its_night_its_size_and_what_changed_with_it():
    values = noisy(80)
    values[50:] *= 0.95
    verdict = judge(KEY, run_of(values, driver=50, os=20))
    assert verdict.status == "worse"
    change = verdict.change
    assert change is not None
    assert change.since.date == verdict.nights[50].date
    assert change.share == pytest.approx(-0.05, abs=0.01)
    assert change.context == {"driver": ("old", "new")}
    assert change.seen > change.since.date


def test_an_accepted_change_is_the_new_normal():
    values = noisy(90)
    values[50:] *= 0.95
    points = run_of(values)
    accepted = [Acceptance(since=points[50].time, reason="new cable", made=0.0)]
    verdict = judge(KEY, points, accepted)
    assert verdict.status == "steady"
    assert len(verdict.reference()) == 40


def test_an_improvement_is_the_new_normal_by_itself():
    values = noisy(100)
    values[50:] *= 1.05
    verdict = judge(KEY, run_of(values))
    assert verdict.status == "better"
    assert len(verdict.reference()) == pytest.approx(50, abs=1)
    values[85:] *= 0.94
    assert judge(KEY, run_of(values)).status == "worse"


def test_what_came_back_is_no_change_any_more():
    values = noisy(100)
    values[50:65] *= 0.9
    verdict = judge(KEY, run_of(values))
    assert verdict.status == "steady"
    assert verdict.changes == ()


def test_runs_of_one_night_make_one_value():
    points = run_of([1.0, 3.0])
    again = points[0]._replace(time=points[0].time + 3600, value=2.0, run="again")
    evening = points[0]._replace(time=points[0].time - 3 * 3600, value=6.0, run="evening")
    assert [night.value for night in by_night([*points, again, evening])] == [2.0, 3.0]
    assert by_night(points)[0].date == "2026-01-04"


def test_what_nobody_minded_for_long_is_the_new_normal():
    values = noisy(LONGEST + 60)
    values[50:] *= 0.9
    verdict = judge(KEY, run_of(values))
    assert verdict.status == "steady"
    assert len(verdict.nights) == LONGEST


def test_a_latency_is_worse_when_it_grows():
    key = replace(KEY, metric="latency p50", unit="s", higher_is_better=False)
    values = noisy(60, 1e-5)
    values[40:] *= 1.1
    verdict = judge(key, run_of(values))
    assert verdict.status == "worse"
    assert verdict.change is not None
    assert verdict.change.share == pytest.approx(0.1, abs=0.02)


def test_a_file_is_judged_as_its_points_are(tmp_path):
    values = noisy(80)
    values[50:] *= 0.95
    points = run_of(values)
    with open_history(tmp_path / "h.db") as history:
        history.add((KEY, point) for point in points)
        verdict = judge_series(history, KEY)
        assert verdict.status == "worse"
        history.accept([KEY], since=points[50].time, reason="known")
        assert judge_series(history, KEY).status == "steady"


def test_no_night_is_blamed_that_came_after_the_change_was_sure():
    verdict = judge(KEY, run_of(noisy(365, seed=561)))
    assert verdict.change is not None
    assert verdict.change.since.date <= verdict.change.seen
    assert verdict.change.after > 0
