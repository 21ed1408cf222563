"""``python -m benchmarks.kills [--json]``: processes killed while they write a history, and what is left of it.

A writer adds one test after the other, several figures each, and says of each that it is kept. It is killed (SIGKILL)
at a random moment. Then the file has to be whole, with every test in it that was said to be kept, and none in part.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.history import key
from hil.history import Point, open_history

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLS = 200
FIGURES = 5
"""Of a test."""
MOST_TESTS = 30
"""That are finished before the kill, at the most."""
SPREAD = 0.004
"""Seconds after the last one within which the kill comes: a test's transaction takes about one millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What one kill left."""

    finished: int
    """Tests that were said to be kept."""
    kept: int
    """Tests that are in the file."""
    wrong: str
    """What is wrong with the file, in words; empty if nothing is."""


def measure(count: int, folder: Path, seed: int = 1) -> list[Left]:
    """Kill `count` writers, each with a file of its own in `folder`."""
    dice = random.Random(seed)
    return [_killed(folder / f"{number}.db", dice) for number in range(count)]


def _killed(path: Path, dice: random.Random) -> Left:
    # A process of its own from the start: forked, it might wait for ever for what a thread of this one held.
    command = [sys.executable, "-m", "benchmarks.kills", "--write", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, cwd=Path(__file__).parents[1]) as writer:
        assert writer.stdout is not None
        finished = sum(len(writer.stdout.read(1)) for _ in range(1 + dice.randrange(MOST_TESTS)))
        time.sleep(dice.random() * SPREAD)
        writer.kill()
        finished += len(writer.stdout.read())
    if writer.returncode != -signal.SIGKILL:
        return Left(finished=finished, kept=0, wrong=f"its writer ended by itself, with {writer.returncode}")
    return look(path, finished)


def _write(path: Path) -> None:
    """Add test after test, and tell of each by a byte on standard output, until somebody ends this process."""
    with open_history(path) as history:
        for number in range(sys.maxsize):
            history.add((key(n), Point(time=1e9 + number, value=1.0, run=f"{number}")) for n in range(FIGURES))
            os.write(1, b".")


def look(path: Path, finished: int) -> Left:
    """What is in the file at `path`, whose writer had `finished` so many tests."""
    with open_history(path) as history:
        counts = Counter(len(history.points(one)) for one in history.series())
    connection = sqlite3.connect(path)
    try:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
    finally:
        connection.close()
    kept = min(counts, default=0)
    wrong = "" if said == "ok" else f"SQLite says: {said}"
    if counts and (len(counts) > 1 or counts[kept] != FIGURES):
        wrong = f"a test was kept in part: {dict(counts)}"
    elif kept < finished:
        wrong = f"{finished - kept} tests that were kept are gone"
    return Left(finished=finished, kept=kept, wrong=wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, look, and print text or JSON; 1 if a file was damaged or had lost something."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description="Kills of a history's writer.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--kills", type=int, default=KILLS, metavar="N", help=f"how many (default: {KILLS})")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (default: 1)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="be the writer that is killed")
    chosen = parser.parse_args(arguments)
    if chosen.write is not None:
        _write(chosen.write)
    if chosen.kills < 1:
        parser.error(f"--kills: {chosen.kills} is less than 1")
    with tempfile.TemporaryDirectory(prefix="hil-benchmark-") as folder:
        found = measure(chosen.kills, Path(folder), chosen.seed)
    wrong = [one for one in found if one.wrong]
    facts = {
        "kills": len(found),
        "tests_finished": sum(one.finished for one in found),
        "tests_kept": sum(one.kept for one in found),
        "wrong": [asdict(one) for one in wrong],
    }
    if chosen.json:
        print(json.dumps(facts, indent=2))
    else:
        print(f"{len(found)} kills, {facts['tests_finished']} tests finished, {facts['tests_kept']} in the files")
        print(f"{len(wrong)} files were damaged, or had lost a test that was kept, or had one in part")
        for one in wrong:
            print(f"  {one.wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
