"""The nightly alarm and the gate: silent on what is no change, sure of what is one, and right about the night."""

from __future__ import annotations

import numpy as np
import pytest

from hil.history import first_alarm, gate
from hil.history.cusum import LONGEST, SHORTEST, SLACK, THRESHOLD, references
from hil.history.locate import LEAST_NIGHTS, changes, locate, strongest, without_outliers


def nights(count: int, *, seed: int = 0, step: float = 0.0, at: int = 60, level: float = 3e9) -> list[float]:
    """Nights with a spread of 1 %, and a step of `step` (a share) from night `at` on."""
    noise = np.random.default_rng(seed).standard_normal(count)
    return [level * (1 + 0.01 * e) * (1 - (step if i >= at else 0.0)) for i, e in enumerate(noise)]


def test_a_steady_series_raises_no_alarm():
    assert [first_alarm(nights(365, seed=seed)) for seed in range(20)].count(None) >= 19


@pytest.mark.parametrize("step", [0.03, 0.05, 0.5])
def test_a_step_down_is_an_alarm_and_its_night_is_found(step):
    values = nights(90, step=step, seed=3)
    alarm = first_alarm(values)
    assert alarm is not None
    assert not alarm.better
    assert 60 <= alarm.night < 70
    assert abs(locate(values, alarm) - 60) <= 1


def test_a_step_up_is_a_change_for_the_better_of_a_rate_and_for_the_worse_of_a_latency():
    values = nights(90, step=-0.05)
    rate, latency = first_alarm(values), first_alarm(values, higher_is_better=False)
    assert rate is not None
    assert rate.better
    assert latency is not None
    assert not latency.better


def test_one_bad_night_is_no_change():
    values = nights(120)
    values[80] *= 0.5
    assert first_alarm(values) is None


def test_nights_under_suspicion_are_no_reference():
    values = nights(100, step=0.05)
    alarm = first_alarm(values)
    assert alarm is not None
    assert alarm.reference.median == pytest.approx(np.median(values[max(0, alarm.since - LONGEST) : alarm.since]))


def test_too_few_nights_judge_nothing():
    assert first_alarm([1.0] * SHORTEST) is None
    assert references([1.0] * (SHORTEST - 1)) == []


def test_a_series_that_never_varied_does_not_alarm_at_a_rounding():
    values = [1.0] * 60 + [1.0 - 1e-4] * 40
    assert first_alarm(values) is None


def test_a_series_of_zeros_is_judged_without_dividing_by_them():
    assert first_alarm([0.0] * 50) is None


def test_references_are_those_of_the_definition():
    values = nights(100, seed=5)
    known = references(values)
    window = np.array(values[40:100])
    centre = np.median(window)
    mad = 1.4826 * np.median(abs(window - centre))
    bounded = np.clip((window - centre) / mad, -3, 3)
    bounded -= bounded.mean()
    rho = np.clip((bounded[1:] * bounded[:-1]).sum() / (bounded**2).sum() - 0.5 / np.sqrt(60), 0, 0.8)
    assert known[-1].median == pytest.approx(centre)
    assert known[-1].correlation == pytest.approx(rho)
    assert known[-1].spread == pytest.approx(mad * np.sqrt(1 + 1.57 / 60) * np.sqrt((1 + rho) / (1 - rho)))
    assert known[0].nights == SHORTEST
    assert known[0].median == pytest.approx(np.median(values[:SHORTEST]))


def by_the_book(values, sign):
    """Night of the alarm and where its sum began to rise, night by night as the definition has it."""
    known, total, since, held = references(values), 0.0, 0, None
    for night in range(SHORTEST, len(values)):
        held = known[night - SHORTEST] if total == 0.0 else held
        score = max(-3.0, min(3.0, sign * (held.median - values[night]) / held.spread))
        since = night if total == 0.0 else since
        total = max(0.0, total + score - SLACK)
        if total > THRESHOLD:
            return night, since, held
    return None


@pytest.mark.parametrize("seed", range(40))
def test_alarms_are_those_of_the_definition(seed):
    step = (0.0, 0.02, -0.03, 0.1)[seed % 4]
    values = nights(150, seed=seed, step=step, at=25 + seed)
    values[100:] = [value * (1 + 0.03 * (seed % 3)) for value in values[100:]]

    worse, better, alarm = by_the_book(values, 1.0), by_the_book(values, -1.0), first_alarm(values)

    first = min((one for one in (worse, better) if one), key=lambda one: one[0], default=None)
    assert first == (None if alarm is None else (alarm.night, alarm.since, alarm.reference))
    assert alarm is None or alarm.better is (first is better)


def test_autocorrelation_widens_the_spread():
    rough = np.random.default_rng(1).standard_normal(60)
    slow = np.repeat(rough[:12], 5)
    assert references(1000 + slow)[-1].correlation > 0.5
    assert references(1000 + rough)[-1].correlation < 0.2


def test_the_filter_takes_outliers_and_leaves_steps():
    values = nights(40, step=0.1, at=20)
    values[10] *= 2
    cleaned = without_outliers(values)
    assert cleaned[10] < 3.2e9
    assert np.mean(cleaned[25:]) == pytest.approx(np.mean(values[25:]), rel=0.01)
    assert list(without_outliers([1.0, 9.0, 1.0])) == [1.0, 9.0, 1.0]


def test_the_gate_stops_a_tenth_and_lets_a_hundredth_pass():
    limits = gate(nights(30), higher_is_better=True)
    assert limits is not None
    assert not limits.passes(0.9 * 3e9)
    assert limits.passes(0.99 * 3e9)
    assert limits.change(2.7e9) == pytest.approx(-0.1, abs=0.01)


def test_the_gate_of_a_latency_is_above():
    limits = gate([1e-5] * 30, higher_is_better=False)
    assert limits is not None
    assert limits.limit == pytest.approx(1.02e-5)
    assert limits.passes(1e-6)
    assert not limits.passes(1.1e-5)
    assert limits.change(1.1e-5) == pytest.approx(-0.1)


def test_the_gate_needs_nights():
    assert gate([1.0] * 9, higher_is_better=True) is None


@pytest.mark.parametrize("seed", range(60))
def test_changes_are_those_that_ruptures_finds(seed):
    ruptures = pytest.importorskip("ruptures")
    dice = np.random.default_rng(seed)
    signal = dice.standard_normal(dice.integers(8, 95))
    for _ in range(seed % 4):
        signal[dice.integers(len(signal)) :] += 3 * dice.standard_normal()
    theirs = ruptures.KernelCPD(kernel="linear", min_size=LEAST_NIGHTS).fit(signal[:, None])

    for penalty in (5.0, 30.0, 100.0):
        assert changes(signal, penalty) == theirs.predict(pen=penalty)[:-1]
    assert strongest(signal) == theirs.predict(n_bkps=1)[0]
