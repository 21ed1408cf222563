"""``python -m benchmarks.harness [--json]``: what hil itself costs, each figure beside what it is held against.

Wall time of whole commands on this machine, on the default simulated machine; nothing here is virtual time. What is
compared is run in turn, so that a busy moment hits both sides, and medians are told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
SIM = "sim:macbook-pro-usb4"
TESTS = 200
"""Tests a folder: enough that what one costs shows beside what a run costs."""
LIMIT = 300.0
"""Seconds after which a command is given up."""
HEAVY = ("numpy", "pytest")
"""What `hil list` has no use for, and would wait for."""
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of ours, and what it is held against."""

    name: str
    ours: float
    against: str
    """What `reference` is."""
    reference: float
    unit: str
    goal: float | None = None
    """The difference of the two must not be above it, in `unit`; `None` = told, not held to anything."""

    @property
    def difference(self) -> float:
        """What ours takes beyond the reference."""
        return self.ours - self.reference

    @property
    def ratio(self) -> float | None:
        """Ours over the reference, where there is one."""
        return self.ours / self.reference if self.reference else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; `None` where there is none."""
        return None if self.goal is None else self.difference <= self.goal


class Failed(Exception):  # noqa: N818  (told to a person in one sentence)
    """A command that was to be timed did not end as it should."""


def seconds_of(command: Sequence[str], *, cwd: Path = ROOT) -> float:
    """Run `command`; the seconds until it has ended.

    Raises:
        Failed: it did not end with 0, or not in time.

    """
    begun = perf_counter()
    _output_of(command, cwd=cwd)
    return perf_counter() - begun


def _output_of(command: Sequence[str], *, cwd: Path = ROOT) -> str:
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command, cwd=cwd, env=_environment(), capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{shown}: {error}") from error
    if done.returncode:
        last = "\n".join([*done.stdout.splitlines()[-15:], *done.stderr.splitlines()[-15:]])
        raise Failed(f"{shown} ended with {done.returncode}; the last that it said:\n{last}")
    return done.stdout + done.stderr


def _environment() -> dict[str, str]:
    # Options of whoever runs this must not choose what is measured.
    return {key: text for key, text in os.environ.items() if not key.startswith(("HIL_", "PYTEST_"))}


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, float]:
    """Median seconds of each of `commands`, run in turn `rounds` times after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = seconds_of(command)
            if number:
                taken[name].append(seconds)
    return {name: median(seconds) for name, seconds in taken.items()}


def start_up(rounds: int) -> list[Figure]:
    """What `hil list` takes beyond an interpreter that does nothing."""
    listing = (sys.executable, "-m", "hil.cli", "list", "--bench")
    bare = (sys.executable, "-c", "pass")
    taken = in_turn({"bare": bare, "local": (*listing, "local"), "sim": (*listing, SIM)}, rounds)
    return [
        Figure(
            name=f"hil list --bench {bench}",
            ours=taken[bench],
            against="bare interpreter",
            reference=taken["bare"],
            unit="s",
            goal=0.3,
        )
        for bench in ("local", "sim")
    ]


def heavy_imports() -> list[str]:
    """Which of `HEAVY` a `hil list` imports."""
    told = _output_of((sys.executable, "-X", "importtime", "-m", "hil.cli", "list", "--bench", "local"))
    modules = set(re.findall(r"^import time:.*\|\s*(\w+)$", told, re.MULTILINE))
    if "hil" not in modules:
        raise Failed("python -X importtime told nothing of hil: what hil list imports was not seen")
    return sorted(modules & set(HEAVY))


def cost_of_a_test(rounds: int) -> list[Figure]:
    """What a test that uses a device, with its process and health probes, takes beyond one that does nothing."""
    with tempfile.TemporaryDirectory(prefix="hil-benchmark-") as folder:
        commands: dict[str, Sequence[str]] = {}
        for name, argument, words in (("bare", "", ()), ("device", "device, ", ("hil.fixtures.transfer",))):
            for tests in (1, TESTS):
                place = Path(folder) / f"{name}{tests}"
                place.mkdir()
                (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
                (place / "conftest.py").write_text(f"pytest_plugins = {list(words)}\n", encoding="utf-8")
                (place / "test_it.py").write_text(
                    f'import pytest\n\n\n@pytest.mark.parametrize("n", range({tests}))\n'
                    f"def test_it({argument}n):\n    pass\n",
                    encoding="utf-8",
                )
                bench = ("--hil-bench", SIM)
                commands[f"{name}{tests}"] = (*PYTEST, str(place), f"--rootdir={place}", *bench)
        taken = in_turn(commands, rounds)
    # A run of one test costs what every run does; what more tests add is what a test costs.
    each = {name: 1000 * (taken[f"{name}{TESTS}"] - taken[f"{name}1"]) / (TESTS - 1) for name in ("bare", "device")}
    if not 0 < each["bare"] < each["device"]:
        raise Failed(
            f"a test with a device took {each['device']:.3f} ms, a bare one {each['bare']:.3f} ms: this machine is too "
            "busy to tell; try again when it is quiet, or with more --rounds"
        )
    return [
        Figure(
            name="a test with a device",
            ours=each["device"],
            against="bare pytest test",
            reference=each["bare"],
            unit="ms",
            goal=10.0,
        ),
        Figure(
            name="a run with one such test",
            ours=taken["device1"],
            against="bare run with one test",
            reference=taken["bare1"],
            unit="s",
        ),
    ]


def whole_run(rounds: int) -> list[Figure]:
    """What `pytest suites/` takes on the default simulated machine."""
    taken = in_turn({"suites": (*PYTEST, "suites/", "--hil-bench", SIM)}, rounds)
    return [Figure(name="pytest suites/", ours=taken["suites"], against="nothing", reference=0.0, unit="s", goal=15.0)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON; 1 if something could not be measured. A goal missed is told, no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description="What hil itself costs.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of each command (default: 5)")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error(f"--rounds: {chosen.rounds} is less than 1")
    try:
        heavy = heavy_imports()
        figures = [*start_up(chosen.rounds), *cost_of_a_test(chosen.rounds), *whole_run(max(chosen.rounds // 2, 1))]
    except Failed as failure:
        print(f"benchmark broken off: {failure}", file=sys.stderr)
        return 1
    print(as_json(figures, heavy) if chosen.json else as_table(figures, heavy))
    return 0


def as_json(figures: Sequence[Figure], heavy: Sequence[str]) -> str:
    """All figures as one JSON object."""
    rows = [asdict(f) | {"difference": f.difference, "ratio": f.ratio, "met": f.met} for f in figures]
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "figures": rows,
        "heavy_imports_of_hil_list": list(heavy),
    }
    return json.dumps(facts, indent=2)


def as_table(figures: Sequence[Figure], heavy: Sequence[str]) -> str:
    """All figures as text, a line each."""
    head = ("figure", "ours", "against", "its", "ratio", "difference", "goal")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    names = " nor ".join(HEAVY)
    lines.append(f"hil list imports {', '.join(heavy)}" if heavy else f"hil list imports neither {names}")
    lines.append(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores")
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    goal = ""
    if figure.goal is not None:
        goal = f"≤ {figure.goal:g} {figure.unit}: {'met' if figure.met else 'MISSED'}"
    there = figure.ratio is not None
    return (
        figure.name,
        f"{figure.ours:.3f} {figure.unit}",
        figure.against if there else "",
        f"{figure.reference:.3f} {figure.unit}" if there else "",
        f"{figure.ratio:.1f} ×" if there else "",
        f"{figure.difference:.3f} {figure.unit}" if there else "",
        goal,
    )


if __name__ == "__main__":
    sys.exit(main())
