"""All that the page shows, in builtin types: texts once each, everything else by number."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Generic, TypeVar

import hil
from hil.history import Verdict
from hil.report.lines import line
from hil.report.morning import Morning, mornings, names_of
from hil.report.nights import TROUBLE, WHOLE, Test, Visit
from hil.report.paths import paths
from hil.report.words import WORST_FIRST

Entry = TypeVar("Entry", str, tuple[int, ...])

PICTURES: Final = 6 << 20
"""Characters of evidence on the page, the latest nights first: what a browser reads without being waited for."""
LATEST: Final = 7
"""Nights of a bench of which the evidence of passing tests is kept, too."""

_TITLE: Final = re.compile(r"<title>([^<]*)</title>")


class _Table(Generic[Entry]):
    """Values by number: what is said again and again is on the page once."""

    def __init__(self) -> None:
        self._numbers: dict[Entry, int] = {}

    def number(self, value: Entry) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def all(self) -> list[Entry]:
        return list(self._numbers)


@dataclass(slots=True)
class _Shared:
    """What all parts of the page share."""

    texts: _Table[str] = field(default_factory=_Table)
    lists: _Table[tuple[int, ...]] = field(default_factory=_Table)
    """Of numbers: nights, or texts."""
    room: int = PICTURES
    """Characters of evidence that it may still take."""


def contents(
    visits: Sequence[Visit], verdicts: Sequence[Verdict], notes: Sequence[str], *, made: str
) -> dict[str, Any]:
    """What the page shows of `visits` and `verdicts`.

    Args:
        visits: by night.
        verdicts: of all series.
        notes: what could not be read, a sentence each.
        made: when, ISO 8601.

    """
    shared = _Shared(room=PICTURES)
    nights = sorted({*(visit.night for visit in visits), *(n.date for v in verdicts for n in v.nights)})
    dates = {night: number for number, night in enumerate(nights)}
    told = mornings(visits, verdicts)
    return {
        "hil": hil.__version__,
        "made": made,
        "notes": list(notes),
        "nights": nights,
        "outcomes": list(WORST_FIRST),
        "trouble": list(TROUBLE),
        "sections": [_section(morning, visits, verdicts, dates, shared) for morning in told],
        # Last: all of them are known only now.
        "texts": shared.texts.all(),
        "lists": shared.lists.all(),
    }


def _section(
    morning: Morning, visits: Sequence[Visit], verdicts: Sequence[Verdict], dates: Mapping[str, int], shared: _Shared
) -> dict[str, Any]:
    mine = [visit for visit in visits if visit.simulated == morning.simulated]
    series = [verdict for verdict in verdicts if verdict.key.simulated == morning.simulated and verdict.nights]
    scenario = next((visit.context["scenario"] for visit in reversed(mine) if "scenario" in visit.context), "")
    return {
        "simulated": morning.simulated,
        "scenario": scenario,
        "night": morning.night,
        "good": morning.good,
        "verdict": morning.verdict,
        "headline": morning.headline,
        "items": [asdict(item) | {"bad": item.bad} for item in morning.items],
        "benches": _benches(mine, dates, shared),
        "devices": _devices(mine, series, dates, shared),
    }


def _benches(visits: Sequence[Visit], dates: Mapping[str, int], shared: _Shared) -> list[dict[str, Any]]:
    shown = sorted({visit.night for visit in visits})[-WHOLE:]
    benches: dict[str, dict[str, Any]] = {}
    for visit in reversed(visits):
        if visit.night not in shown:
            continue
        bench = benches.setdefault(visit.bench, _bench(visit))
        bench["visits"].append(_visit(visit, dates, shared, latest=len(bench["visits"]) < LATEST))
    for bench in benches.values():
        bench["visits"].reverse()
    return sorted(benches.values(), key=lambda bench: bench["name"])


def _bench(visit: Visit) -> dict[str, Any]:
    return {
        "name": visit.bench,
        "nature": visit.nature,
        "context": dict(visit.context),
        "devices": [{"alias": alias, **facts} for alias, facts in visit.devices.items()],
        "visits": [],
    }


def _visit(visit: Visit, dates: Mapping[str, int], shared: _Shared, *, latest: bool) -> dict[str, Any]:
    suites: dict[str, dict[str, Any]] = {}
    for test in visit.tests:
        suite = suites.setdefault(test.suite, {"counts": {}, "passed": [], "others": []})
        suite["counts"][test.outcome] = suite["counts"].get(test.outcome, 0) + 1
        evidence = _within(test.evidence, shared) if latest or test.outcome in TROUBLE else []
        if test.outcome == "passed" and test.attempts == 1 and not evidence:
            suite["passed"].append(shared.texts.number(test.short))
        else:
            more = {"evidence": evidence, "ladder": _ladder(test.evidence)}
            suite["others"].append(_test(test, shared.texts) | {name: told for name, told in more.items() if told})
    for suite in suites.values():
        suite["passed"] = shared.lists.number(tuple(suite["passed"]))
    return {
        "at": dates[visit.night],
        "started": visit.started,
        "complete": visit.complete,
        "restored": visit.restored,
        "ran": [shared.texts.number(f"{name} {text}") for name, text in visit.runs_on().items()],
        "faults": [shared.texts.number(fault) for fault in visit.faults],
        "suites": suites,
    }


def _test(test: Test, texts: _Table[str]) -> dict[str, Any]:
    return {
        "name": texts.number(test.short),
        "outcome": test.outcome,
        "device": texts.number(test.device),
        "error": texts.number(test.error),
        "hop": texts.number(test.hop),
        "message": texts.number(test.message),
        "seconds": round(test.seconds, 3),
        "attempts": test.attempts,
        "figures": [texts.number(f"{name}: {value}") for name, value in test.figures],
    }


def _within(evidence: Sequence[Mapping[str, str]], shared: _Shared) -> list[dict[str, str]]:
    """What of it people look at: data is for programs, which read the record."""
    kept = []
    for one in evidence:
        size = len(one.get("text", ""))
        if {"name", "kind", "text"} <= set(one) and one["kind"] != "json" and size <= shared.room:
            shared.room -= size
            kept.append(dict(one) | {"says": _says(one["text"])} if one["kind"] == "svg" else dict(one))
    return kept


def _says(svg: str) -> str:
    """The title of a picture, for who cannot see it."""
    found = _TITLE.search(svg)
    return html.unescape(found[1]).strip() if found else ""


def _ladder(evidence: Sequence[Mapping[str, str]]) -> list[list[Any]]:
    """The rungs that a recovery tried: name, whether it helped, seconds."""
    for one in evidence:
        if one.get("name") == "recovery as data":
            with suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                rungs = [rung for rung in json.loads(one["text"]) if rung["tried"] and math.isfinite(rung["seconds"])]
                return [[str(rung["name"]), bool(rung["ok"]), round(float(rung["seconds"]), 3)] for rung in rungs]
    return []


def _devices(
    visits: Sequence[Visit], verdicts: Sequence[Verdict], dates: Mapping[str, int], shared: _Shared
) -> list[dict[str, Any]]:
    names = names_of(visits)
    facts = {(visit.bench, told["id"]): told for visit in visits for told in visit.devices.values() if "id" in told}
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.key.bench, verdict.key.device), []).append(verdict)
    found = []
    for who in sorted({*groups, *facts}, key=lambda who: (who[0], names.get(who, who[1]))):
        mine = groups.get(who, [])
        found.append(
            {
                "bench": who[0],
                "id": who[1],
                "alias": names.get(who, who[1]),
                "facts": dict(facts.get(who, {})),
                "lines": [_line(verdict, dates, shared) for verdict in mine],
                **paths(mine),
            }
        )
    return found


def _line(verdict: Verdict, dates: Mapping[str, int], shared: _Shared) -> dict[str, Any]:
    told = line(verdict, dates)
    return told | {"at": shared.lists.number(tuple(told["at"]))}
