"""A run's own view of its history: what the nights before allow, what is worse, and a history made from one night."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from test_history_store import DAY, KEY
from test_history_verdict import noisy

from hil.errors import UsageError
from hil.history import Point, Tonight, judge_series, open_history
from hil.history.seeding import NIGHTS, seed_history
from hil.history.tonight import grouped, is_confirmed, regression_sentence


def fill(path, values, key=KEY, *, end: float | None = None, **context: str) -> None:
    """A point a night, the last one yesterday."""
    last = time.time() - DAY if end is None else end
    with open_history(path) as history:
        history.add(
            (key, Point(time=last - (len(values) - 1 - n) * DAY, value=float(v), run=f"old {n}", context=context))
            for n, v in enumerate(values)
        )


def tonight(path, **context: str) -> Tonight:
    return Tonight(open_history(path), run="this run", context=context)


def test_nights_before_make_a_gate_that_this_runs_points_do_not_move(tmp_path):
    fill(tmp_path / "h", noisy(30))
    run = tonight(tmp_path / "h")
    allowed = run.before(KEY).gate
    assert allowed is not None
    run.keep([(KEY, run.point(1e9, 0.0, [1e9], context={}))])
    run._before.clear()
    assert run.before(KEY).gate == allowed
    run.close()


def test_few_nights_make_no_gate(tmp_path):
    fill(tmp_path / "h", noisy(5))
    run = tonight(tmp_path / "h")
    assert run.before(KEY).gate is None
    assert run.before(replace(KEY, metric="other")).gate is None
    with pytest.raises(ValueError, match="too few nights"):
        regression_sentence("x", KEY, [1.0], run.before(KEY), {})
    run.close()


def test_two_of_three_measurements_make_a_regression_and_it_says_all_that_is_known(tmp_path):
    fill(tmp_path / "h", noisy(30), driver="570", seed="1")
    run = tonight(tmp_path / "h", driver="580", seed="2")
    before = run.before(KEY)
    assert before.gate is not None
    assert not is_confirmed(before.gate, [2.5e9, 3e9, 3e9])
    assert is_confirmed(before.gate, [2.5e9, 3e9, 2.5e9])

    told = regression_sentence("H2D bandwidth", KEY, [2.5e9, 3e9, 2.5e9], before, run.context)

    assert "H2D bandwidth is 2.5 GB/s, slower than its history allows: at least " in told
    assert "in 2 of 3 measurements; since tonight, the last good night was " in told
    assert told.endswith("changed since then: driver 570 → 580")
    run.close()


def test_latencies_are_judged_the_other_way_round(tmp_path):
    key = replace(KEY, metric="latency p50", unit="s", higher_is_better=False)
    fill(tmp_path / "h", noisy(30, 1e-5), key)
    run = tonight(tmp_path / "h")
    before = run.before(key)
    told = regression_sentence("H2D latency p50", key, [2e-5] * 3, before, {})
    assert "is 20 µs, longer than its history allows: at most" in told
    assert "nothing that hil knows of" in told
    run.close()


def test_the_nightly_alarm_names_the_series_that_are_worse_grouped_by_what_they_share(tmp_path):
    values = noisy(60)
    values[40:] *= 0.94
    other = replace(KEY, nbytes=1 << 20)
    steady = replace(KEY, direction="D2H")
    for key in (KEY, other):
        fill(tmp_path / "h", values, key)
    fill(tmp_path / "h", noisy(60), steady)
    run = tonight(tmp_path / "h")
    run.keep([(key, run.point(float(values[-1]), 0.0, [], context={})) for key in (KEY, other)])

    worse = run.judge([KEY, other, steady, KEY])

    assert [verdict.key for verdict in worse] == [KEY, other]
    ((shared, together),) = grouped(run.worse.values())
    assert len(together) == 2
    assert shared.startswith(f"{KEY.bench}, {KEY.direction}, since ")
    run.close()


def test_a_series_that_did_not_change_is_in_no_group(tmp_path):
    fill(tmp_path / "h", noisy(30))
    with open_history(tmp_path / "h") as history:
        assert grouped([judge_series(history, KEY)]) == []


def test_devices_of_one_run_keep_their_own_context(tmp_path):
    run = tonight(tmp_path / "h", os="26.1")
    other = replace(KEY, device="other")
    run.keep([(KEY, run.point(1.0, 0.0, [1.0], context={"driver": "a"}))])
    run.keep([(other, run.point(1.0, 0.0, [1.0], context={"driver": "b"}))])
    run.close()
    with open_history(tmp_path / "h") as history:
        contexts = [dict(history.points(key)[0].context) for key in (KEY, other)]
    assert contexts == [{"os": "26.1", "driver": "a"}, {"os": "26.1", "driver": "b"}]
    assert run.kept == 2


def test_a_clock_that_ran_backwards_is_said_and_nothing_is_overwritten(tmp_path):
    fill(tmp_path / "h", noisy(3), end=time.time() + 10 * DAY)
    run = tonight(tmp_path / "h")
    assert "10.0 days from now" in run.clock_complaint()
    run.keep([(KEY, run.point(1.0, 0.0, [], context={}))])
    run.close()
    with open_history(tmp_path / "h") as history:
        assert len(history.points(KEY)) == 4
    other = tonight(tmp_path / "new")
    assert other.clock_complaint() == ""
    other.close()


def test_one_night_becomes_thirty_with_a_known_spread(tmp_path):
    fill(tmp_path / "one", [3e9], end=time.time())
    assert seed_history(tmp_path / "one", tmp_path / "many", seed=3) == NIGHTS
    with open_history(tmp_path / "many") as history:
        verdict = judge_series(history, KEY)
    run = tonight(tmp_path / "many")
    allowed = run.before(KEY).gate
    assert verdict.status == "steady"
    assert allowed is not None
    assert allowed.spread / allowed.median == pytest.approx(0.01, rel=0.05)
    assert allowed.limit / 3e9 == pytest.approx(0.96, abs=0.003)
    run.close()
    assert seed_history(tmp_path / "one", tmp_path / "many", seed=3) == 0  # again: all is there


def test_a_history_cannot_be_made_of_nothing(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        seed_history(tmp_path / "none", tmp_path / "many")
    with pytest.raises(ValueError, match="`nights`"):
        seed_history(tmp_path / "none", tmp_path / "many", nights=0)
