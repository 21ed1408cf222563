"""``python -m benchmarks.detectors [--json]``: false alarms and changes found, ours beside what users have today.

Seeded series of one value a night, made of ten samples each, with a robust coefficient of variation of 1 %. Every
detector sees the same series. An alarm ends a series for it: what counts is the first. With ``--real FILE…`` instead
the series that somebody's nights have made (`benchmarks.real_series`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks import real_series
from hil.history import first_alarm, gate
from hil.history.locate import locate

Floats = NDArray[np.float64]
CV = 0.01
NIGHTS, CLEAN = 100, 365
"""Nights before a change; nights of a series without one."""
SAMPLES = 10
WITHIN = 0.3
"""Spread of a run's samples, of a night's: samples of one run share their night."""
NOISES = ("Gaussian", "t3", "AR(0.5)", "bimodal 15 %", "outlier 3 %", "drift ±0.8 %")


def noise(kind: str, nights: int, dice: np.random.Generator) -> Floats:
    """What nights differ by, in units of `CV`: robust standard deviation 1."""
    normal = dice.standard_normal(nights)
    match kind:
        case "t3":
            return dice.standard_t(3, nights) * 0.6745 / 0.7649  # its quartile over the normal's
        case "AR(0.5)":
            values = normal.copy()
            for i in range(1, nights):
                values[i] = 0.5 * values[i - 1] + math.sqrt(0.75) * normal[i]
            return values
        case "bimodal 15 %":
            return np.where(dice.random(nights) < 0.15, normal - 8.0, normal)
        case "outlier 3 %":
            return np.where(dice.random(nights) < 0.03, normal - dice.uniform(5, 20, nights), normal)
        case "drift ±0.8 %":
            return normal + 0.8 * np.sin(2 * np.pi * (np.arange(nights) / 365 + dice.random()))
        case _:
            return normal


PASSING = ("t3", "bimodal 15 %", "outlier 3 %")
"""Noises that disturb a measurement, not a night: who measures again draws again."""


@dataclass(frozen=True, slots=True)
class Series:
    """One value a night and the samples behind it."""

    kind: str
    effect: Floats
    values: Floats
    samples: Floats
    """Nights × samples."""

    def again(self, night: int, dice: np.random.Generator) -> float:
        """The value of another measurement in `night`."""
        value = float(np.median(self.samples[night]))
        if self.kind in PASSING:
            value = 100 * (1 + CV * float(noise(self.kind, 1, dice)[0])) * (1 - float(self.effect[night]))
        return value * (1 + CV * WITHIN * float(np.median(dice.standard_normal(SAMPLES))))


def series(kind: str, effect: Floats, dice: np.random.Generator) -> Series:
    """A series around 100 whose nights are scaled by 1 - `effect`."""
    nights = 100 * (1 + CV * noise(kind, len(effect), dice)) * (1 - effect)
    samples = nights[:, None] * (1 + CV * WITHIN * dice.standard_normal((len(effect), SAMPLES)))
    return Series(kind, effect, np.median(samples, axis=1), samples)


Detector = Callable[[Series, np.random.Generator], "tuple[int, int] | None"]
"""Night of the first alarm for the worse, and the night that it blames."""


def nightly(one: Series, _: np.random.Generator) -> tuple[int, int] | None:
    """Ours: `first_alarm` over all nights; an alarm for the better starts a new baseline."""
    start = 0
    while (alarm := first_alarm(one.values[start:])) is not None:
        at = locate(list(one.values[start:]), alarm)
        if not alarm.better:
            return start + alarm.night, start + at
        start += max(at, 1)
    return None


def our_gate(one: Series, dice: np.random.Generator) -> tuple[int, int] | None:
    """Ours, within a run: beyond the limit, and again in one of two more measurements of the same night."""
    accepted: list[float] = []
    for night, value in enumerate(one.values):
        limits = gate(accepted, higher_is_better=True)
        if limits is None or limits.passes(value) or all(limits.passes(one.again(night, dice)) for _ in range(2)):
            accepted.append(value)
        else:
            return night, night
    return None


def fixed_5_percent(one: Series, _: np.random.Generator) -> tuple[int, int] | None:
    """pytest-benchmark's --benchmark-compare-fail=median:5%: a run against the one before."""
    worse = np.flatnonzero(one.values[1:] < one.values[:-1] * 0.95)
    return (int(worse[0]) + 1, int(worse[0]) + 1) if len(worse) else None


def z_score(one: Series, _: np.random.Generator) -> tuple[int, int] | None:
    """Three standard deviations below the mean of the last 30 nights."""
    for night in range(30, len(one.values)):
        last = one.values[night - 30 : night]
        if one.values[night] < last.mean() - 3 * last.std(ddof=1):
            return night, night
    return None


def mann_whitney(one: Series, _: np.random.Generator) -> tuple[int, int] | None:
    """Tonight's samples against last night's, p < 0.001, one-sided, normal approximation."""
    n = SAMPLES
    limit = n * n / 2 - 3.09 * math.sqrt(n * n * (2 * n + 1) / 12)
    for night in range(1, len(one.values)):
        wins = (one.samples[night][:, None] > one.samples[night - 1][None, :]).sum()
        if wins < limit:
            return night, night
    return None


def otava() -> Detector | None:
    """apache-otava at its defaults (window 50, p 0.001, magnitude 0), where it is installed."""
    try:
        from otava.analysis import compute_change_points  # noqa: PLC0415  (not a dependency)
    except ImportError:
        return None

    def detect(one: Series, _: np.random.Generator) -> tuple[int, int] | None:
        # A night at a time it would take minutes: every fifth.
        for last in range(20, len(one.values) + 1, 5):
            # A list: of an array it finds the same night in two windows and breaks off (0.8.0).
            points, _unused = compute_change_points(one.values[:last].tolist(), window_len=50, max_pvalue=0.001)
            down = [p for p in points if p.stats.mean_2 < p.stats.mean_1]
            if down:
                return last - 1, int(down[0].index)
        return None

    return detect


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one detector did."""

    detector: str
    false_alarms: dict[str, float]
    """In 100 nights, by kind of noise."""
    found: dict[str, float]
    """Share of series in which a change was found in time, by change."""
    median_nights: float | None
    """From a step of 3 % to the alarm."""
    off_by: float | None
    """Nights between the change and the night blamed, median, 3 % step."""
    ms: float
    """Milliseconds of CPU a series of a year, median."""


CHANGES: dict[str, tuple[float, int, int]] = {
    "10 %, same night": (0.10, 0, 1),
    "5 % within 7": (0.05, 0, 7),
    "3 % within 7": (0.03, 0, 7),
    "2 % within 30": (0.02, 0, 30),
    "3 % ramp within 60": (0.03, 30, 60),
}
"""Size, nights that it takes to come, nights to find it in."""


def effect(size: float, ramp: int, nights: int) -> Floats:
    """Share lost in each of `nights`, the change beginning at night `NIGHTS`."""
    since = np.arange(nights) - NIGHTS
    if ramp == 0:
        return np.where(since >= 0, size, 0.0)
    share: Floats = size * np.clip((since + 1) / ramp, 0.0, 1.0)
    return share


def measure(name: str, detect: Detector, count: int, seed: int) -> Row:
    """Let `detect` see `count` series of every kind."""
    false: dict[str, float] = {}
    times = []
    for kind in NOISES:
        alarms = nights = 0
        for number in range(count):
            dice = np.random.default_rng([seed, number, NOISES.index(kind)])
            one = series(kind, np.zeros(CLEAN), dice)
            begun = process_time()
            found = detect(one, dice)
            times.append(process_time() - begun)
            alarms += found is not None
            nights += CLEAN if found is None else found[0] + 1
        false[kind] = 100 * alarms / nights
    shares: dict[str, float] = {}
    waits: list[int] = []
    misses: list[int] = []
    for number_of, (change, (size, ramp, within)) in enumerate(CHANGES.items()):
        hits = counted = 0
        for number in range(count):
            dice = np.random.default_rng([seed, number, 100 + number_of])
            one = series("Gaussian", effect(size, ramp, NIGHTS + within), dice)
            found = detect(one, dice)
            if found is not None and found[0] < NIGHTS:
                continue  # a false alarm, counted above
            counted += 1
            hits += found is not None
            if found is not None and change == "3 % within 7":
                waits.append(found[0] - NIGHTS + 1)
                misses.append(abs(found[1] - NIGHTS))
        shares[change] = hits / counted if counted else math.nan
    return Row(
        detector=name,
        false_alarms=false,
        found=shares,
        median_nights=median(waits) if waits else None,
        off_by=median(misses) if misses else None,
        ms=1e3 * median(times),
    )


def on_real(files: Sequence[Path], *, as_json: bool) -> int:
    """Print what detectors say of the series in `files`; 1 if one cannot be read."""
    try:
        found = [one for path in files for one in real_series.read(path)]
    except real_series.Unreadable as error:
        print(f"benchmark broken off: {error}", file=sys.stderr)
        return 1
    if not found:
        print(f"benchmark broken off: no series of {real_series.LEAST} nights and more in these files", file=sys.stderr)
        return 1
    said, changed = real_series.judge(found), real_series.changes(found)
    if as_json:
        print(
            json.dumps({"series": len(found), "detectors": [asdict(one) for one in said], "changes": changed}, indent=2)
        )
        return 0
    print(f"{len(found)} series of {real_series.LEAST} nights and more, {said[0].nights} nights")
    for row in said:
        rate = 100 * row.alarms / max(row.nights, 1)
        print(f"{row.detector}: {rate:.2f} alarms in 100 nights; {row.lasted} of {row.judged} changes lasted")
    print("\n".join(changed))
    return 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--series", type=int, default=300, help="of every kind (default: 300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--real", nargs="+", type=Path, metavar="FILE", help="series of yours instead: CSV, JSON, data.js"
    )
    given = parser.parse_args()
    if given.real:
        sys.exit(on_real(given.real, as_json=given.json))
    detectors: dict[str, Detector | None] = {
        "hil, nightly alarm": nightly,
        "hil, gate in the run": our_gate,
        "5 % against the last run (pytest-benchmark)": fixed_5_percent,
        "z-score, 3 of the last 30": z_score,
        "Mann-Whitney on samples": mann_whitney,
        "apache-otava": otava(),
    }
    rows = [measure(name, detect, given.series, given.seed) for name, detect in detectors.items() if detect]
    if given.json:
        facts = {"series": given.series, "seed": given.seed, "cv": CV, "detectors": [asdict(row) for row in rows]}
        print(json.dumps(facts, indent=2))
        return
    for row in rows:
        print(f"{row.detector}: {row.ms:.2f} ms a series")
        print("  false alarms / 100 nights: " + ", ".join(f"{k} {v:.2f}" for k, v in row.false_alarms.items()))
        print("  found: " + ", ".join(f"{k} {100 * v:.0f} %" for k, v in row.found.items()))
        print(f"  3 % step: after {row.median_nights} nights, blamed night off by {row.off_by}")


if __name__ == "__main__":
    main()
