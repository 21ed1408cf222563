"""``hil history``: list, show, accept, export, import and merge the series of a history file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date, datetime, time
from pathlib import Path
from statistics import median
from time import time as now
from typing import Any

import click

from hil.cli.whole_file import must_be_new, replaced
from hil.errors import UsageError
from hil.history import History, Key, Verdict, judge_series, open_history
from hil.history.cusum import SHORTEST
from hil.history.exchange import merge, open_text, read_lines, write_lines
from hil.history.place import history_path
from hil.history.series import NOON
from hil.history.verdict import DAY
from hil.history.words import change_sentence, quantity
from hil.model import size_text

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
"""Nights in a line of bars, and of those that are shown unasked."""


def chosen(history: History, wanted: Mapping[str, Any]) -> list[Key]:
    """The series whose fields are as `wanted` (`None` = any).

    Raises:
        UsageError: there is none; says what there is.

    """
    given = {name: value for name, value in wanted.items() if value is not None}
    found = history.series(**given)
    if not found:
        asked = ", ".join(f"{name} = {value}" for name, value in given.items()) or "any"
        known = history.series()
        strange = [name for name, value in given.items() if all(getattr(key, name) != value for key in known)]
        what = strange[0] if strange else "bench"
        there = ", ".join(sorted({str(getattr(key, what)) for key in known})) or "none"
        raise UsageError(f"history {history.path}: no series with {asked}; in it there is {what} = {there}")
    return found


def list_series(path: Path | None, wanted: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a line for every series: nights, last value, what the nights say."""
    with open_history(history_path(path), must_exist=True) as history:
        verdicts = [judge_series(history, key) for key in chosen(history, wanted)]
    if as_json:
        click.echo(json.dumps({"series": [_facts(verdict) for verdict in verdicts]}, indent=2))
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


def show_series(path: Path | None, wanted: Mapping[str, Any], *, nights: int | None, as_json: bool) -> None:
    """Print the last `nights` nights of each series (without: a line of them, or as JSON all), and its changes."""
    with open_history(history_path(path), must_exist=True) as history:
        verdicts = [judge_series(history, key) for key in chosen(history, wanted)]
    if as_json:
        series = [_facts(verdict, last=nights or len(verdict.nights)) for verdict in verdicts]
        click.echo(json.dumps({"series": series}, indent=2))
        return
    for verdict in verdicts:
        click.echo(verdict.key.label())
        last = verdict.nights[-(nights or _WIDTH) :]
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


def accept(
    path: Path | None, wanted: Mapping[str, Any], *, since: str, reason: str, everything: bool, as_json: bool
) -> None:
    """Start a new baseline at `since`, a night or a moment, in each series.

    Raises:
        UsageError: `since` or `reason` says nothing; there is no such series; or many series of which none were
            chosen, and `everything` was not said either.

    """
    begin = _moment(since)
    if begin.timestamp() > now() + DAY:
        raise UsageError(f"--since: {since!r} is yet to come; expected a night that has begun, or tonight")
    if not reason.strip():
        raise UsageError("--reason: empty; expected why the change is accepted")
    with open_history(history_path(path), must_exist=True) as history:
        keys = chosen(history, wanted)
        if len(keys) > 1 and not everything and not any(value is not None for value in wanted.values()):
            benches = ", ".join(sorted({key.bench for key in keys}))
            raise UsageError(
                f"history {history.path}: which of its {len(keys)} series (of {benches})? "
                "Choose with --bench, --device, --metric, --direction or --size, or give --all"
            )
        count = history.accept(keys, since=begin.timestamp(), reason=reason)
    if as_json:
        click.echo(json.dumps({"accepted": count, "since": begin.isoformat(), "reason": reason}, indent=2))
        return
    click.echo(f"{count} series: a new baseline from {begin:%Y-%m-%d %H:%M} on ({reason})")


def _moment(text: str) -> datetime:
    """The beginning of a night that is given as its date, as all else names it; or the moment itself. Local time."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time()) + NOON
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since: {text!r}; expected a night, as 2026-05-03 (it begins at noon), "
            "or a moment, as '2026-05-03 18:30'"
        ) from None


def export(path: Path | None, wanted: Mapping[str, Any], target: Path | None, *, force: bool) -> None:
    """Write series as JSON lines to `target`, or (``.parquet``) as a table of points; `None` = standard output.

    Raises:
        UsageError: `target` is there already, and not `force`, or it is the history itself; it cannot be written.

    """
    with open_history(history_path(path), must_exist=True) as history:
        keys = chosen(history, wanted)
        if target is None:
            write_lines(history, keys, sys.stdout)
            return
        if target.exists() and target.samefile(history.path):
            raise UsageError(f"{target} is the history itself: give another name")
        must_be_new(target, force=force)
        with replaced(target) as half:
            if target.suffix == ".parquet":
                from hil.history.parquet import write_table  # noqa: PLC0415  (an extra)

                count = write_table(history, keys, half)
            else:
                with half.open("w", encoding="utf-8") as out:
                    count = write_lines(history, keys, out)
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
        return f"too few nights to judge ({SHORTEST} needed, {len(verdict.reference())} of its baseline there)"
    if verdict.change is None:
        return "steady"
    return f"{verdict.status} since {verdict.change.since.date} ({100 * verdict.change.share:+.1f} %)"


def _bars(values: Sequence[float], scale: Sequence[float]) -> str:
    low, high = min(scale), max(scale)
    span = high - low or 1.0
    return "".join(_BARS[min(int((value - low) / span * len(_BARS)), len(_BARS) - 1)] for value in values)


def _facts(verdict: Verdict, *, last: int = 0) -> dict[str, Any]:
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
    if last:
        facts["values"] = [{"night": night.date, "value": night.value} for night in verdict.nights[-last:]]
    return facts
