"""Histories as JSON lines, for other programs and for moving between machines; and one history file into another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from hil.errors import UsageError
from hil.history.series import KEY_FIELDS, Key, Point
from hil.history.store import Acceptance, History

FORMAT: Final = 1
_HEAD: Final = "hil_history"
_POINT: Final = ("time", "value", "spread", "samples", "run", "context")
_ACCEPTANCE: Final = ("since", "reason", "made")
BATCH: Final = 5000
"""Points a transaction."""


def write_lines(history: History, keys: Iterable[Key], out: TextIO) -> int:
    """Write all points of `keys` and what was accepted in them, a JSON object a line after a head; how many points."""
    count = 0
    out.write(json.dumps({_HEAD: FORMAT}) + "\n")
    for key in keys:
        out.write(json.dumps({"series": asdict(key)}, ensure_ascii=False) + "\n")
        for point in history.points(key):
            out.write(json.dumps({"point": _facts(point)}, ensure_ascii=False) + "\n")
            count += 1
        changes = history.accepted(key)
        out.writelines(json.dumps({"accepted": asdict(one)}, ensure_ascii=False) + "\n" for one in changes)
    return count


def _facts(point: Point) -> dict[str, Any]:
    return {name: getattr(point, name) for name in _POINT} | {"context": dict(point.context)}


def read_lines(history: History, lines: Iterable[str], source: str) -> tuple[int, int]:
    """Add what `lines` (as `write_lines` makes them) say; points seen, and how many of them were new.

    Nothing that is there already is overwritten, so the same file can be read twice.

    Raises:
        UsageError: a line is not as expected; names `source` and the line. What came before it is kept.

    """
    seen = new = 0
    batch: list[tuple[Key, Point]] = []
    accepted: list[tuple[Key, float, str]] = []
    try:
        for key, fact in _parsed(lines, source):
            if isinstance(fact, Point):
                batch.append((key, fact))
                seen += 1
            else:
                accepted.append((key, fact.since, fact.reason))
            if len(batch) >= BATCH:
                new += history.add(batch)
                batch.clear()
    finally:
        new += history.add(batch)
        for key, since, reason in accepted:
            history.accept([key], since=since, reason=reason)
    return seen, new


def merge(into: History, other: History) -> tuple[int, int]:
    """Add all points of `other` to `into`; points seen, and how many of them were new."""
    seen = new = 0
    for key in other.series():
        points = other.points(key)
        seen += len(points)
        new += into.add((key, point) for point in points)
        for one in other.accepted(key):
            into.accept([key], since=one.since, reason=one.reason)
    return seen, new


def _parsed(lines: Iterable[str], source: str) -> Iterator[tuple[Key, Point | Acceptance]]:
    found = _objects(lines, source)
    where, head = next(found, (source, {}))
    if head.get(_HEAD) != FORMAT:
        raise UsageError(f"{where}: expected the head {{{_HEAD!r}: {FORMAT}}}, as `hil history export` writes it")
    key: Key | None = None
    for where, fact in found:
        if "series" in fact:
            key = _key(fact["series"], where)
        elif key is None:
            raise UsageError(f"{where}: expected a series before its points")
        elif "point" in fact:
            yield key, _point(fact["point"], where)
        elif "accepted" in fact:
            yield key, _acceptance(fact["accepted"], where)
        else:
            raise UsageError(f"{where}: keys {', '.join(fact)}; expected series, point or accepted")


def _objects(lines: Iterable[str], source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        where = f"{source}, line {number}"
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise UsageError(f"{where}: no JSON: {error}") from error
        if not isinstance(found, dict):
            raise UsageError(f"{where}: {line.strip()[:60]!r}; expected a JSON object")
        yield where, found


def _key(facts: Any, where: str) -> Key:
    if not isinstance(facts, dict) or set(facts) != set(KEY_FIELDS):
        raise UsageError(f"{where}: series = {facts!r}; expected the keys {', '.join(KEY_FIELDS)}")
    try:
        return Key(**facts)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: series: {error}") from error


def _point(facts: Any, where: str) -> Point:
    if not isinstance(facts, dict) or set(facts) != set(_POINT):
        raise UsageError(f"{where}: point = {str(facts)[:80]}; expected the keys {', '.join(_POINT)}")
    context = facts["context"]
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        raise UsageError(f"{where}: point: context = {str(context)[:80]}; expected texts by name")
    try:
        numbers = {name: float(facts[name]) for name in ("time", "value", "spread")}
        return Point(**{**facts, **numbers, "samples": tuple(float(sample) for sample in facts["samples"])})
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: point: {error}") from error


def _acceptance(facts: Any, where: str) -> Acceptance:
    if not isinstance(facts, dict) or set(facts) != set(_ACCEPTANCE):
        raise UsageError(f"{where}: accepted = {str(facts)[:80]}; expected the keys {', '.join(_ACCEPTANCE)}")
    try:
        return Acceptance(since=float(facts["since"]), reason=str(facts["reason"]), made=float(facts["made"]))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: accepted: {error}") from error


def open_text(path: Path) -> TextIO:
    """The file `path` to read lines from.

    Raises:
        UsageError: it cannot be read.

    """
    try:
        return path.open(encoding="utf-8", errors="replace")  # what is no text is no JSON either, and told by its line
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
