"""The score's arithmetic: intervals, bounds, fifths of severity, spans of time."""

from __future__ import annotations

import itertools
import math

import pytest

from hil.cli.coverage import arithmetic, spans
from hil.errors import UsageError


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # R: binom::binom.confint(x, n, methods = "wilson")
        (0, 20, 0.0, 0.1611),
        (19, 20, 0.7639, 0.9911),
        (20, 20, 0.8389, 1.0),
        (1, 1, 0.2065, 1.0),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_wilsons_interval(hits, of, low, high):
    assert arithmetic.wilson(hits, of) == pytest.approx((low, high), abs=5e-5)


def test_nothing_counted_tells_nothing():
    assert arithmetic.wilson(0, 0) == (0.0, 1.0)
    assert arithmetic.upper_bound(0, 0) == 1.0
    assert arithmetic.median([]) is None


@pytest.mark.parametrize(("hits", "of"), [(-1, 3), (4, 3)])
def test_what_is_no_share_is_refused(hits, of):
    with pytest.raises(ValueError, match="is no share"):
        arithmetic.wilson(hits, of)


@pytest.mark.parametrize("runs", [20, 300, 1000])
def test_the_bound_without_an_alarm_is_the_rule_of_threes(runs):
    bound = arithmetic.upper_bound(0, runs)

    assert bound <= 3 / runs
    assert bound == pytest.approx(3 / runs, rel=0.08)
    # With that rate, so many runs without an alarm are a one in twenty chance.
    assert (1 - bound) ** runs == pytest.approx(0.05)


def test_an_alarm_raises_the_bound():
    assert arithmetic.upper_bound(1, 100) > arithmetic.upper_bound(0, 100)


def test_severities_are_told_by_fifths_with_the_most_severe_in_the_last():
    draws = [(0.0, False), (0.19, True), (0.2, True), (0.79, False), (1.0, True)]

    shares = arithmetic.by_severity(draws)

    assert shares == (0.5, 1.0, None, 0.0, 1.0)
    assert arithmetic.curve(shares) == "▅█·▁█"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20, 33])
def test_an_order_that_is_cut_off_leaves_no_gap(count):
    order = arithmetic.spread_order(count)

    assert sorted(order) == list(range(count))
    for upto in range(2, count + 1):
        known = sorted(order[:upto])
        assert (known[0], known[-1]) == (0, count - 1)
        widest = max(b - a for a, b in itertools.pairwise(known))
        # No gap is more than twice as wide as it has to be, and one for what rounding costs.
        assert widest <= 2 * math.ceil((count - 1) / (upto - 1)) + 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2.5m", 150), ("1h0m1s", 3601)]
)
def test_a_span_as_people_write_it(text, seconds):
    assert spans.seconds(text, option="--budget") == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "soon", "5x", "10m 5s", "1m1h", "inf", "nan"])
def test_what_is_no_span_names_the_option_and_what_was_expected(text):
    with pytest.raises(UsageError, match=r"^--budget: '.*' is no time above 0, such as 90s, 10m or 1h30m$"):
        spans.seconds(text, option="--budget")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00006, "60 µs"), (0.025, "25 ms"), (0.84, "0.8 s"), (42.4, "42 s"), (185, "3 min 5 s"), (3720, "1 h 2 min")],
)
def test_a_span_in_words(seconds, text):
    assert spans.words(seconds) == text
