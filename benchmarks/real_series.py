"""Series that somebody's nights have made: read from files, and what detectors say of them.

Nobody knows which alarms were right. What can be said is whether a change lasted: the median of the twenty nights from
the blamed one on is below that of the twenty before by a hundredth and by a robust spread of those. A detector that
looks at the night alone blames nights that nothing followed.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hil.history import first_alarm
from hil.history.locate import locate
from hil.model import robust_sd

LEAST = 60
"""Nights that a series must have: 20 before the alarm judges, and some to judge."""
AROUND = 20
"""Nights on each side of a blamed one that say whether the change lasted."""
SMALLER_IS_BETTER = ("s", "ms", "us", "µs", "ns", "ns/iter", "median ms", "p95 ms", "MB", "KB", "bytes", "hits")
"""Units, where a file does not say which way is up."""


class Unreadable(Exception):  # noqa: N818  (told to a person in one sentence)
    """A file holds no series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Real:
    """One value a night, the more the better (a time is told by its reciprocal)."""

    name: str
    values: tuple[float, ...]
    nights: tuple[str, ...]
    """What the file calls each: a date, or a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blamed:
    """An alarm for the worse."""

    alarm: int
    since: int
    """The night that is blamed."""
    lasted: bool | None
    """`None` = there are too few nights around it to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one detector said of all series."""

    detector: str
    nights: int
    """That it judged."""
    alarms: int
    lasted: int
    """Alarms whose change lasted."""
    judged: int
    """Alarms of which that can be said."""


def read(path: Path) -> list[Real]:
    """The series of one file.

    CSV: a column a series, its name on top, a row a night; the first column may be the nights' names. JSON: a list of
    numbers, an object of such lists by name, or the data of github-action-benchmark (``data.js``): of all runs of one
    UTC day the median counts.

    Raises:
        Unreadable: it is none of these.

    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _from_csv(text) if path.suffix == ".csv" else _from_json(text)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise Unreadable(f"{path}: {error}") from error
    return [
        Real(name=f"{path.stem}: {name}", values=values, nights=nights)
        for name, nights, values in found
        if len(values) >= LEAST and len(set(values)) > 1 and min(values) > 0
    ]


Columns = list[tuple[str, tuple[str, ...], tuple[float, ...]]]


def _from_csv(text: str) -> Columns:
    head, *rows = list(csv.reader(text.splitlines()))
    columns = list(zip(*rows, strict=True))
    named = columns[0] if columns and not _is_number(columns[0][0]) else [str(number) for number in range(len(rows))]
    found = []
    for name, column in zip(head, columns, strict=True):
        if column is not named:
            kept = [(night, float(cell)) for night, cell in zip(named, column, strict=True) if cell.strip()]
            found.append((name, tuple(night for night, _ in kept), tuple(value for _, value in kept)))
    return found


def _from_json(text: str) -> Columns:
    # github-action-benchmark's file is a script: `window.BENCHMARK_DATA = {…}`.
    start = min(at for at in (text.find("{"), text.find("[")) if at >= 0)
    data: Any = json.loads(text[start:].rstrip().rstrip(";"))
    if isinstance(data, dict) and "entries" in data:
        return _from_action(data["entries"])
    lists = {"": data} if isinstance(data, list) else data
    return [
        (name, tuple(str(number) for number in range(len(values))), tuple(float(value) for value in values))
        for name, values in lists.items()
    ]


def _from_action(entries: Mapping[str, Sequence[Mapping[str, Any]]]) -> Columns:
    by_name: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    down: dict[str, bool] = {}
    for suite, runs in entries.items():
        for run in sorted(runs, key=lambda run: float(run["date"])):
            day = datetime.fromtimestamp(run["date"] / 1000, UTC).date().isoformat()
            for one in run["benches"]:
                name = f"{suite} / {one['name']}"
                down[name] = run["tool"] == "customSmallerIsBetter" or str(one.get("unit")) in SMALLER_IS_BETTER
                by_name[name][day].append(float(one["value"]))
    found = []
    for name, days in by_name.items():
        values = [median(of_day) for of_day in days.values()]
        if min(values) > 0:
            shown = tuple(1 / value for value in values) if down[name] else tuple(values)
            found.append((name, tuple(days), shown))
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text.strip()
    return True


Alarms = Callable[[Sequence[float]], list[tuple[int, int]]]
"""Of a series: nights of alarms for the worse, and the nights that they blame."""


def nightly(values: Sequence[float]) -> list[tuple[int, int]]:
    """Ours; every change is accepted at once, so that it starts a new baseline."""
    found, start = [], 0
    while (alarm := first_alarm(values[start:])) is not None:
        at = locate(values[start:], alarm)
        if not alarm.better:
            found.append((start + alarm.night, start + at))
        start += max(at, 1)
    return found


def fixed_5_percent(values: Sequence[float]) -> list[tuple[int, int]]:
    """Each night against the one before."""
    return [(night, night) for night in range(1, len(values)) if values[night] < 0.95 * values[night - 1]]


def z_score(values: Sequence[float]) -> list[tuple[int, int]]:
    """Three standard deviations below the mean of the last 30 nights."""
    found = []
    for night in range(30, len(values)):
        last = np.asarray(values[night - 30 : night])
        if values[night] < last.mean() - 3 * last.std(ddof=1):
            found.append((night, night))
    return found


DETECTORS: dict[str, Alarms] = {
    "hil, nightly alarm": nightly,
    "5 % against the last run (pytest-benchmark)": fixed_5_percent,
    "z-score, 3 of the last 30": z_score,
}


def blamed(one: Real, detect: Alarms) -> list[Blamed]:
    """What `detect` says of a series."""
    return [Blamed(alarm=alarm, since=since, lasted=lasted(one.values, since)) for alarm, since in detect(one.values)]


def lasted(values: Sequence[float], since: int) -> bool | None:
    """Whether the nights from `since` on are worse than those before; `None` where there are less than half of them."""
    before, after = values[max(0, since - AROUND) : since], values[since : since + AROUND]
    if min(len(before), len(after)) < AROUND // 2:
        return None
    middle = median(before)
    lost = middle - median(after)
    return lost >= max(0.01 * middle, robust_sd(before, middle))


def judge(series: Sequence[Real]) -> list[Found]:
    """What each detector says of all of `series`."""
    nights = sum(len(one.values) for one in series)
    found = []
    for name, detect in DETECTORS.items():
        said = [alarm for one in series for alarm in blamed(one, detect)]
        found.append(
            Found(
                detector=name,
                nights=nights,
                alarms=len(said),
                lasted=sum(alarm.lasted is True for alarm in said),
                judged=sum(alarm.lasted is not None for alarm in said),
            )
        )
    return found


def changes(series: Sequence[Real]) -> list[str]:
    """Our alarms, a line each: which series, since when, by how much, sure when, and whether it lasted."""
    lines = []
    for one in series:
        for alarm in blamed(one, nightly):
            before, after = one.values[max(0, alarm.since - AROUND) : alarm.since], one.values[alarm.since :][:AROUND]
            share = median(after) / median(before) - 1 if before else 0.0
            word = {True: "lasted", False: "did not last", None: "too few nights to say"}[alarm.lasted]
            lines.append(
                f"{one.name}: {100 * share:+.1f} % since {one.nights[alarm.since]}, sure at {one.nights[alarm.alarm]}, "
                f"{word}"
            )
    return lines
