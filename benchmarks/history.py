"""``python -m benchmarks.history [--json]``: what the history file costs, after ten years of nights of many benches."""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from hil.history import Key, Point, judge_series, open_history
from hil.history.series import KEY_FIELDS
from hil.history.verdict import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NIGHTS, SERIES, BENCHES = 3650, 200, 20
START = 1_500_000_000.0
NAMES = {
    "read_first": "one series read, the first",
    "read_series": "one series read",
    "read_samples": "one series read with raw samples",
    "judge_night": "a bench's night judged",
    "add_test": "one figure added, on the disk",
}
GOALS = {"read_series": 0.010, "judge_night": 2.0}
"""Seconds that these may take."""


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


def fill(path: Path, nights: int, series: int, benches: int) -> None:
    """Write the file: one bench by way of the library, the others as copies of it."""
    with open_history(path) as history:
        for number in range(series):
            history.add((key(number), point) for point in points(number, nights))
    columns = ", ".join(KEY_FIELDS[1:])
    connection = sqlite3.connect(path, isolation_level=None)
    for other in range(1, benches):
        connection.execute("BEGIN")
        (runs,) = connection.execute("SELECT max(id) FROM run").fetchone()
        (last,) = connection.execute("SELECT max(id) FROM series").fetchone()
        connection.execute(
            f"INSERT INTO series (id, bench, {columns}) SELECT id + ?, ?, {columns} FROM series WHERE bench = 'bench'",  # noqa: S608
            (last, f"bench {other}"),
        )
        # A bench's runs are its own.
        connection.execute(
            "INSERT INTO run SELECT id + ?, ? || name, context FROM run WHERE id <= ?", (runs, f"{other} ", nights)
        )
        connection.execute(
            "INSERT INTO point SELECT series + ?, time, run + ?, value, spread, samples FROM point WHERE series <= ?",
            (last, runs, series),
        )
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something took."""

    seconds: float
    cpu_seconds: float
    """Of this process: what others on the machine took is not in it, though they empty its caches."""


def measure(path: Path, series: int) -> dict[str, Cost]:
    """What each takes; of `read_first` in a file that was just opened. Verdicts and charts read no raw samples."""
    one = key(7 % series)
    with open_history(path) as history:
        first = _cost(lambda: history.points(one, samples=False))
        read = _cost(lambda: history.points(one, samples=False), 9)
        raw = _cost(lambda: history.points(one), 9)
    with open_history(path) as history:
        judged = _cost(lambda: [judge_series(history, key(number)) for number in range(series)])
        added = _cost(lambda: history.add([(key(0), Point(time=START - DAY, value=3e9, run=f"{perf_counter()}"))]), 9)
    return {
        "read_first": first,
        "read_series": read,
        "read_samples": raw,
        "judge_night": judged,
        "add_test": added,
    }


def _cost(work: Callable[[], object], times: int = 1) -> Cost:
    """The median of so many `times`."""
    found = []
    for _ in range(times):
        began, cpu = perf_counter(), process_time()
        work()
        found.append((perf_counter() - began, process_time() - cpu))
    wall, cpus = zip(*found, strict=True)
    return Cost(seconds=median(wall), cpu_seconds=median(cpus))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print text or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description="What the history file costs.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--nights", type=int, default=NIGHTS, metavar="N", help=f"of each series (default: {NIGHTS})")
    parser.add_argument("--series", type=int, default=SERIES, metavar="N", help=f"of a bench (default: {SERIES})")
    parser.add_argument("--benches", type=int, default=BENCHES, metavar="N", help=f"in the file (default: {BENCHES})")
    chosen = parser.parse_args(arguments)
    for name in ("nights", "series", "benches"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name}: {getattr(chosen, name)} is less than 1")
    with tempfile.TemporaryDirectory(prefix="hil-benchmark-") as folder:
        path = Path(folder) / "history.db"
        fill(path, chosen.nights, chosen.series, chosen.benches)
        costs = measure(path, chosen.series)
        size = sum(part.stat().st_size for part in path.parent.iterdir())
    facts = {
        "nights": chosen.nights,
        "series": chosen.series,
        "benches": chosen.benches,
        "bytes": size,
        "seconds": {name: cost.seconds for name, cost in costs.items()},
        "cpu_seconds": {name: cost.cpu_seconds for name, cost in costs.items()},
        "goals": GOALS,
        "met": all(costs[name].seconds <= goal for name, goal in GOALS.items()),
    }
    if chosen.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{chosen.benches} benches with {chosen.series} series of {chosen.nights} nights each, {size / 1e9:.2f} GB")
    for name, words in NAMES.items():
        goal = f" (goal {1e3 * GOALS[name]:.0f} ms)" if name in GOALS else ""
        cost = costs[name]
        print(f"{words:32} {1e3 * cost.seconds:8.1f} ms{goal}, {1e3 * cost.cpu_seconds:.1f} ms of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
