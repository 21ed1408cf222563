"""Comparison with an earlier measurement, the committed one: what was caught there and is no more."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hil.cli.coverage import catalogue, command, score
from hil.cli.coverage.arithmetic import wilson
from hil.cli.coverage.catalogue import Drawn, Entry
from hil.cli.coverage.ledger import Measured
from hil.cli.coverage.row import Row
from hil.cli.coverage.score import FaultScore
from hil.errors import UsageError

NAME = "coverage.json"


def committed() -> Path | None:
    """The measurement that comes with hil, if there is one."""
    folder = command.package("hil.reports")
    path = None if folder is None else folder / NAME
    return path if path is not None and path.is_file() else None


def to_repeat(before: Measured, entries: Iterable[Entry]) -> dict[str, tuple[int, Drawn]]:
    """For each fault a draw that `before` caught, of middling severity: its number, and what it was.

    A draw whose parameters the fault no longer takes is drawn anew with its severity.
    """
    found: dict[str, tuple[int, Drawn]] = {}
    for entry in entries:
        rows = [row for row in before.runs if row.fault == entry.name]
        best = [row for row in rows if score.caught(row) and row.suite == entry.kind.seen_by] or [
            row for row in rows if score.caught(row)
        ]
        best.sort(key=lambda row: row.severity or 0.0)
        if best:
            row = best[len(best) // 2]
            found[entry.name] = row.number, _again(entry, row, before.head.seed)
    return found


def worth_trying(before: Measured, entries: Iterable[Entry]) -> list[Entry]:
    """Those of `entries` that CI tries: not the faults that `before` has drawn and never caught, which cost most."""
    hopeless = {one.name for one in before.score().faults if one.drawn and not one.caught_by_any}
    return [entry for entry in entries if entry.name not in hopeless]


def lost(now: Measured, before: Measured) -> list[str]:
    """What `before` caught and `now` does not, a sentence a fault."""
    known = {one.name: one for one in before.score().faults}
    return [
        f"{one.name}: caught in {was.caught_by_any} of {was.counted} draws before, now in {one.caught_by_any} of "
        f"{one.counted}{_why(one)}"
        for one in now.score().faults
        if (was := known.get(one.name)) is not None and _is_lost(one, was)
    ]


def _is_lost(now: FaultScore, was: FaultScore) -> bool:
    if not was.caught_by_any or not now.drawn:
        return False
    if not now.caught_by_any:
        return True
    # So few that the two intervals have nothing in common.
    return wilson(now.caught_by_any, now.counted)[1] < wilson(was.caught_by_any, was.counted)[0]


def _why(one: FaultScore) -> str:
    reasons = "; ".join(f"{count} left out: {reason}" for reason, count in one.left_out.items())
    return f" ({reasons})" if reasons else ""


def _again(entry: Entry, row: Row, seed: int) -> Drawn:
    severity = row.severity if row.severity is not None else 0.5
    try:
        return catalogue.made(entry, severity, {**row.given, **entry.fixed})
    except UsageError:
        return catalogue.draw_at(entry, severity, f"{seed} {entry.name} {row.number}")
