"""``python -m benchmarks.integrity [--json]``: how fast the pattern is written and verified, beside memcpy.

On one core, all in one run. What is compared runs in turn on the same buffers, round after round, so that a busy
moment hits all of it; medians are told. A rate is bytes of the buffer over seconds, whatever else is read or written.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np

from hil.integrity import compiled, fill, use, verify
from hil.model import GB, KIB, MIB

EPOCH, BUFFER = 5, 1
GOALS = {"compiled": 0.9, "numpy": 0.65}
"""Least share of memcpy's rate, by path."""
MOST_MEMORY = MIB
"""Bytes that writing and verifying may take beyond the buffer."""
LOAD = (
    "from time import perf_counter as now\nbegun = now()\nfrom hil.integrity import compiled\nmiddle = now()\n"
    "assert compiled.loops() is not None\nprint(now() - middle)\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One rate of ours or of what it is held against."""

    name: str
    gb_s: float
    """10⁹ bytes/s, median over the rounds."""
    ratio: float
    """To memcpy: the median of the rounds' own ratios."""
    goal: float | None = None
    extra_bytes: int | None = None
    """Most memory that it held beyond the buffer; `None` = not looked at."""

    @property
    def met(self) -> bool | None:
        """Whether ratio and memory are as they should be; `None` where nothing is asked."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal and (self.extra_bytes or 0) <= MOST_MEMORY


def paths() -> list[str]:
    """The paths that this machine has."""
    return ["numpy", *(["compiled"] if compiled.loops() is not None else [])]


def steps(nbytes: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name, all on the same buffers."""
    source, target = np.empty(nbytes, np.uint8), np.empty(nbytes, np.uint8)
    fill(source, epoch=EPOCH, buffer_id=BUFFER)
    np.copyto(target, source)
    found: dict[str, Callable[[], object]] = {
        "memcpy": lambda: np.copyto(target, source),
        "numpy compare": lambda: np.array_equal(source, target),
    }
    for path in paths():
        found[f"fill, {path}"] = partial(_on, path, lambda: fill(source, epoch=EPOCH, buffer_id=BUFFER))
        found[f"verify, {path}"] = partial(_on, path, lambda: _intact(source))
    return found


def _on(path: str, step: Callable[[], object]) -> object:
    use(path)
    try:
        return step()
    finally:
        use("auto")


def _intact(buffer: np.ndarray) -> None:
    report = verify(buffer, epoch=EPOCH, buffer_id=BUFFER)
    assert report.intact, report.text()


def measured(nbytes: int, rounds: int) -> list[Figure]:
    """Rates of all steps over `rounds` rounds, after one that does not count."""
    work = steps(nbytes)
    taken: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, step in work.items():
            begun = perf_counter()
            step()
            if number:
                taken[name].append(perf_counter() - begun)
    figures = []
    for name, seconds in taken.items():
        goal = GOALS.get(name.rpartition(", ")[2]) if ", " in name else None
        figures.append(
            Figure(
                name=name,
                gb_s=nbytes / median(seconds) / GB,
                ratio=median(base / own for base, own in zip(taken["memcpy"], seconds, strict=True)),
                goal=goal,
                extra_bytes=None if goal is None else extra_memory(work[name]),
            )
        )
    return figures


def extra_memory(step: Callable[[], object]) -> int:
    """Bytes that `step` held at most while it ran, as far as Python's and numpy's allocators know."""
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def first_use() -> dict[str, float] | None:
    """Seconds until a process has the compiled loops: with nothing kept from before, and with what that left."""
    if "compiled" not in paths():
        return None
    with tempfile.TemporaryDirectory(prefix="hil-benchmark-") as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, "-c", LOAD],
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=300,
                ).stdout
            )
            for _ in range(2)
        ]
    return {"compiled_anew": seconds[0], "loaded": seconds[1]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON. A goal missed is told, no failure: the machine may be busy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.integrity", description="How fast bytes are verified.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="of each step (default: 15)")
    parser.add_argument("--mib", type=int, default=256, metavar="N", help="size of the buffer (default: 256)")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1 or chosen.mib < 1:
        parser.error("--rounds and --mib must be at least 1")
    figures, load = measured(chosen.mib * MIB, chosen.rounds), first_use()
    print(as_json(figures, load, chosen.mib) if chosen.json else as_table(figures, load, chosen.mib))
    return 0


def as_json(figures: Sequence[Figure], load: dict[str, float] | None, mib: int) -> str:
    """All figures as one JSON object."""
    facts = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "buffer_mib": mib,
        "figures": [asdict(figure) | {"met": figure.met} for figure in figures],
        "seconds_to_first_use": load,
    }
    return json.dumps(facts, indent=2)


def as_table(figures: Sequence[Figure], load: dict[str, float] | None, mib: int) -> str:
    """All figures as text, a line each."""
    lines = [f"{'':18}  {'GB/s':>6}  {'of memcpy':>9}  {'beyond the buffer':>17}  goal"]
    for figure in figures:
        goal = "" if figure.goal is None else f"≥ {figure.goal:g}: {'met' if figure.met else 'MISSED'}"
        memory = "" if figure.extra_bytes is None else f"{figure.extra_bytes / KIB:.0f} KiB"
        lines.append(f"{figure.name:18}  {figure.gb_s:6.2f}  {figure.ratio:9.2f}  {memory:>17}  {goal}".rstrip())
    if load is None:
        lines.append("numba is not installed: pip install 'hil[fast]'")
    else:
        lines.append(f"first use: {load['compiled_anew']:.2f} s compiling, {load['loaded']:.2f} s from then on")
    lines.append(f"{mib} MiB, Python {platform.python_version()}, numpy {np.__version__}, {platform.platform()}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
