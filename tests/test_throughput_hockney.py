"""The fit of latency and bandwidth: exact on exact data, right on noisy data, honest about what is no line."""

from __future__ import annotations

import random

import pytest

from hil.throughput.hockney import fit

SIZES = [4**k for k in range(1, 15)]


def test_exact_times_give_the_exact_path():
    path = fit((n, 12e-6 + n / 3e9) for n in SIZES)
    assert path.alpha == pytest.approx(12e-6)
    assert path.beta == pytest.approx(3e9)
    assert path.worst < 1e-6
    assert path.seconds(3_000_000_000) == pytest.approx(1.000012)
    assert path.half_size == pytest.approx(36_000)


def test_noise_of_a_percent_leaves_both_within_a_percent():
    dice = random.Random(3)  # noqa: S311
    path = fit((n, (12e-6 + n / 3e9) * dice.gauss(1, 0.01)) for n in SIZES for _ in range(10))
    assert path.alpha == pytest.approx(12e-6, rel=0.01)
    assert path.beta == pytest.approx(3e9, rel=0.01)


def test_a_path_without_fixed_cost_has_no_negative_latency():
    path = fit([(1, 0.9), (2, 2.0), (3, 3.3)])
    assert path.alpha == 0.0
    assert path.beta == pytest.approx(0.97, rel=0.05)


def test_a_step_in_the_times_shows_as_distance_from_the_model():
    assert fit((n, 12e-6 + n / (3e9 if n < 1 << 20 else 1.5e9)) for n in SIZES).worst > 0.2


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ([(1, 1.0), (2, 2.0)], "3 different sizes, not 2"),
        ([(1, 1.0), (2, 0.0), (3, 1.0)], "positive times"),
        ([(1, 3.0), (2, 2.0), (3, 1.0)], "do not grow"),
    ],
)
def test_what_is_no_sweep_is_refused(sweep, words):
    with pytest.raises(ValueError, match=words):
        fit(sweep)
