"""``python -m benchmarks.history [--json]``: what the history file costs, after ten years of nights of many benches."""

from __future__ import annotations

import argparse
import gc
import json
import random
import sqlite3
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from hil.history import Key, Point, judge_series, open_history
from hil.history.series import KEY_FIELDS
from hil.history.verdict import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NIGHTS, SERIES, BENCHES = 3650, 200, 20
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


def measure(path: Path, series: int) -> dict[str, float]:
    """Seconds of each; of the first reading what a file that was just opened takes."""
    gc.collect()
    with open_history(path) as history:
        first = _timed(lambda: history.points(key(7 % series)))
        read = median(_timed(lambda: history.points(key(7 % series))) for _ in range(9))
        values = median(_timed(lambda: history.points(key(7 % series), samples=False)) for _ in range(9))
    with open_history(path) as history:
        judged = _timed(lambda: [judge_series(history, key(number)) for number in range(series)])
        added = _timed(lambda: history.add([(key(0), Point(time=START - DAY, value=3e9, run=f"{perf_counter()}"))]))
    return {
        "read_first": first,
        "read_series": read,
        "read_values": values,
        "judge_night": judged,
        "add_test": added,
    }


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


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
        seconds = measure(path, chosen.series)
        size = sum(part.stat().st_size for part in path.parent.iterdir())
    facts = {
        "nights": chosen.nights,
        "series": chosen.series,
        "benches": chosen.benches,
        "bytes": size,
        "seconds": seconds,
        "goals": {"read_series": READ_GOAL, "judge_night": JUDGE_GOAL},
        "met": seconds["read_series"] <= READ_GOAL and seconds["judge_night"] <= JUDGE_GOAL,
    }
    if chosen.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{chosen.benches} benches with {chosen.series} series of {chosen.nights} nights each, {size / 1e9:.2f} GB")
    told = {name: f"{1e3 * value:8.1f} ms" for name, value in seconds.items()}
    print(
        f"one series read  {told['read_series']} (goal {1e3 * READ_GOAL:.0f} ms), {told['read_first'].strip()} at first"
    )
    print(f"without samples  {told['read_values']}")
    print(f"a night judged   {told['judge_night']} (goal {1e3 * JUDGE_GOAL:.0f} ms)")
    print(f"one figure added {told['add_test']}, on the disk")
    return 0


if __name__ == "__main__":
    sys.exit(main())
