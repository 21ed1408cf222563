"""``hil history``: list, show, accept, export, import and merge the series of a history file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import click

from hil.errors import UsageError
from hil.history import History, Key, Verdict, judge_series, open_history
from hil.history.exchange import merge, open_text, read_lines, write_lines
from hil.history.place import history_path
from hil.history.words import change_sentence, quantity
from hil.model import size_text

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
"""Nights in a line of bars."""


def chosen(history: History, wanted: Mapping[str, Any]) -> list[Key]:
    """The series whose fields are as `wanted` (`None` = any).

    Raises:
        UsageError: there is none; says what there is.

    """
    given = {name: value for name, value in wanted.items() if value is not None}
    found = history.series(**given)
    if not found:
        asked = ", ".join(f"{name} = {value}" for name, value in given.items()) or "any"
        benches = ", ".join(sorted({key.bench for key in history.series()})) or "none"
        raise UsageError(f"history {history.path}: no series with {asked}; benches in it: {benches}")
    return found


def list_series(path: Path | None, wanted: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a line for every series: nights, last value, what the nights say."""
    with open_history(history_path(path), must_exist=True) as history:
        verdicts = [judge_series(history, key) for key in chosen(history, wanted)]
    if as_json:
        click.echo(json.dumps({"series": [_facts(verdict, points=False) for verdict in verdicts]}, indent=2))
        return
    shown: tuple[str, str] | None = None
    width = max((len(_name(verdict.key)) for verdict in verdicts), default=0)
    for verdict in verdicts:
        key = verdict.key
        if (key.bench, key.device) != shown:
            shown = key.bench, key.device
            click.echo(f"{key.bench}, {key.device}{' (simulated)' if key.simulated else ''}")
        last = quantity(verdict.nights[-1].value, key.unit) if verdict.nights else "no value"
        click.echo(f"  {_name(key):{width}} {len(verdict.nights):4} nights  {last:>12}  {_status(verdict)}")


def show_series(path: Path | None, wanted: Mapping[str, Any], *, nights: int, as_json: bool) -> None:
    """Print the last `nights` nights of each series, and its changes."""
    with open_history(history_path(path), must_exist=True) as history:
        verdicts = [judge_series(history, key) for key in chosen(history, wanted)]
    if as_json:
        click.echo(json.dumps({"series": [_facts(verdict, points=True) for verdict in verdicts]}, indent=2))
        return
    for verdict in verdicts:
        click.echo(verdict.key.label())
        last = verdict.nights[-nights:]
        for start in range(0, len(last), _WIDTH):
            row = last[start : start + _WIDTH]
            click.echo(f"  {row[0].date}  {_bars([night.value for night in row], [n.value for n in last])}")
        if last:
            values = [night.value for night in last]
            low, mid, high = (quantity(f(values), verdict.key.unit) for f in (min, median, max))
            click.echo(f"  lowest {low}, median {mid}, highest {high}")
        for change in verdict.changes:
            click.echo(f"  {change_sentence(change, verdict.key)}")
        click.echo(f"  {_status(verdict)}")


def accept(path: Path | None, wanted: Mapping[str, Any], *, since: datetime, reason: str, as_json: bool) -> None:
    """Start a new baseline at `since` in each series."""
    if not reason.strip():
        raise UsageError("--reason: empty; expected why the change is accepted")
    with open_history(history_path(path), must_exist=True) as history:
        keys = chosen(history, wanted)
        count = history.accept(keys, since=since.timestamp(), reason=reason)
    if as_json:
        click.echo(json.dumps({"accepted": count, "since": since.isoformat(), "reason": reason}, indent=2))
        return
    click.echo(f"{count} series: a new baseline from {since:%Y-%m-%d %H:%M} on ({reason})")


def export(path: Path | None, wanted: Mapping[str, Any], target: Path | None) -> None:
    """Write series as JSON lines to `target`, or (``.parquet``) as a table of points; `None` = standard output."""
    with open_history(history_path(path), must_exist=True) as history:
        keys = chosen(history, wanted)
        if target is None:
            write_lines(history, keys, sys.stdout)
            return
        if target.suffix == ".parquet":
            from hil.history.parquet import write_table  # noqa: PLC0415  (an extra)

            count = write_table(history, keys, target)
        else:
            try:
                with target.open("w", encoding="utf-8") as out:
                    count = write_lines(history, keys, out)
            except OSError as error:
                raise UsageError(f"{target}: {error.strerror or error}") from error
    click.echo(f"{target}: {count} points of {len(keys)} series")


def import_lines(path: Path | None, source: Path, *, as_json: bool) -> None:
    """Add what `hil history export` wrote."""
    with open_text(source) as lines, open_history(history_path(path)) as history:
        seen, new = read_lines(history, lines, str(source))
    _told(source, seen, new, as_json=as_json)


def merge_file(path: Path | None, source: Path, *, as_json: bool) -> None:
    """Add all points of another history file."""
    with open_history(source, must_exist=True) as other, open_history(history_path(path)) as history:
        seen, new = merge(history, other)
    _told(source, seen, new, as_json=as_json)


def _told(source: Path, seen: int, new: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"source": str(source), "points": seen, "new": new}, indent=2))
        return
    click.echo(f"{source}: {seen} points, {new} of them new")


def _name(key: Key) -> str:
    size = f" {size_text(key.nbytes)}" if key.nbytes else ""
    return f"{key.direction} {key.metric}{size}, {key.engine}, {key.negotiated or key.declared}"


def _status(verdict: Verdict) -> str:
    if verdict.status == "too few":
        return f"too few nights to judge (20 needed, {len(verdict.nights)} there)"
    if verdict.change is None:
        return "steady"
    return f"{verdict.status} since {verdict.change.since.date} ({100 * verdict.change.share:+.1f} %)"


def _bars(values: Sequence[float], scale: Sequence[float]) -> str:
    low, high = min(scale), max(scale)
    span = high - low or 1.0
    return "".join(_BARS[min(int((value - low) / span * len(_BARS)), len(_BARS) - 1)] for value in values)


def _facts(verdict: Verdict, *, points: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "key": asdict(verdict.key),
        "nights": len(verdict.nights),
        "last": verdict.nights[-1].value if verdict.nights else None,
        "status": verdict.status,
        "changes": [
            {
                "since": change.since.date,
                "seen": change.seen,
                "before": change.before,
                "after": change.after,
                "better": change.better,
                "context": change.context,
            }
            for change in verdict.changes
        ],
    }
    if points:
        facts["values"] = [{"night": night.date, "value": night.value} for night in verdict.nights]
    return facts
