"""``python -m benchmarks.history [--json]``: what the history file costs, after ten years of nights."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from hil.history import History, Key, Point, judge_series, open_history
from hil.history.verdict import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NIGHTS, SERIES = 3650, 200
START = 1_500_000_000.0
READ_GOAL, JUDGE_GOAL = 0.010, 2.0
"""Seconds: to read one series, and to judge one bench's night."""


def key(number: int) -> Key:
    """One of the bench's series."""
    return Key(
        bench="bench",
        device="device",
        metric="bandwidth",
        direction="H2D",
        nbytes=number,
        engine="opencl",
        declared="usb4",
        negotiated="2 × 20 Gb/s",
        simulated=False,
        unit="B/s",
        higher_is_better=True,
    )


def points(number: int, nights: int) -> list[Point]:
    """Its nights, ten samples each."""
    dice = random.Random(number)
    context = {"os": "26.1", "driver": "1"}
    return [
        Point(
            time=START + night * DAY,
            value=(value := 3e9 * (1 + 0.01 * dice.gauss(0, 1))),
            samples=(value,) * 10,
            run=f"{night}",
            context=context,
        )
        for night in range(nights)
    ]


def measure(history: History, nights: int, series: int) -> dict[str, float]:
    """Seconds of each."""
    for number in range(series):
        history.add((key(number), point) for point in points(number, nights))
    added = _timed(lambda: history.add([(key(0), Point(time=START - DAY, value=3e9, run=f"{perf_counter()}"))]))
    read = median(_timed(lambda: history.points(key(7 % series))) for _ in range(9))
    judged = _timed(lambda: [judge_series(history, key(number)) for number in range(series)])
    return {"read_series": read, "judge_night": judged, "add_test": added}


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print text or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description="What the history file costs.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--nights", type=int, default=NIGHTS, metavar="N", help=f"of each series (default: {NIGHTS})")
    parser.add_argument("--series", type=int, default=SERIES, metavar="N", help=f"of the bench (default: {SERIES})")
    chosen = parser.parse_args(arguments)
    for name in ("nights", "series"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name}: {getattr(chosen, name)} is less than 1")
    with tempfile.TemporaryDirectory(prefix="hil-benchmark-") as folder:
        path = Path(folder) / "history.db"
        with open_history(path) as history:
            seconds = measure(history, chosen.nights, chosen.series)
        size = sum(part.stat().st_size for part in path.parent.iterdir())
    facts = {
        "nights": chosen.nights,
        "series": chosen.series,
        "bytes": size,
        "seconds": seconds,
        "goals": {"read_series": READ_GOAL, "judge_night": JUDGE_GOAL},
        "met": seconds["read_series"] <= READ_GOAL and seconds["judge_night"] <= JUDGE_GOAL,
    }
    if chosen.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{chosen.series} series of {chosen.nights} nights, {size / 1e6:.0f} MB")
    print(f"one series read   {1e3 * seconds['read_series']:8.1f} ms (goal {1e3 * READ_GOAL:.0f} ms)")
    print(f"a night judged    {1e3 * seconds['judge_night']:8.1f} ms (goal {1e3 * JUDGE_GOAL:.0f} ms)")
    print(f"one figure added  {1e3 * seconds['add_test']:8.1f} ms, on the disk")
    return 0


if __name__ == "__main__":
    sys.exit(main())
