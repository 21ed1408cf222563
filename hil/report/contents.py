"""All that the page shows, in builtin types: texts once each, everything else by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import hil
from hil.history import Verdict
from hil.report.lines import line
from hil.report.morning import Morning, mornings, names_of
from hil.report.nights import TROUBLE, Visit
from hil.report.paths import paths

GRID: Final = 60
"""Nights in the grid."""
PASSING: Final = 60_000
"""Passing and skipped tests that are listed by name, the latest nights first; of older ones there are the counts."""
PICTURES: Final = 24 << 20
"""Characters of evidence on the page, the latest nights first."""


class _Texts:
    """Texts by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        return list(self._numbers)


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
    texts = _Texts()
    nights = sorted({*(visit.night for visit in visits), *(n.date for v in verdicts for n in v.nights)})
    dates = {night: number for number, night in enumerate(nights)}
    told = mornings(visits, verdicts)
    return {
        "hil": hil.__version__,
        "made": made,
        "notes": list(notes),
        "nights": nights,
        "sections": [_section(morning, visits, verdicts, dates, texts) for morning in told],
        "texts": texts.all(),  # last: all of it is known only now
    }


def _section(
    morning: Morning, visits: Sequence[Visit], verdicts: Sequence[Verdict], dates: Mapping[str, int], texts: _Texts
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
        "benches": _benches(mine, dates, texts),
        "devices": _devices(mine, series, dates),
    }


def _benches(visits: Sequence[Visit], dates: Mapping[str, int], texts: _Texts) -> list[dict[str, Any]]:
    shown = sorted({visit.night for visit in visits})[-GRID:]
    room = {"passing": PASSING, "evidence": PICTURES}
    benches: dict[str, dict[str, Any]] = {}
    for visit in reversed(visits):
        if visit.night not in shown:
            continue
        bench = benches.setdefault(visit.bench, _bench(visit))
        bench["visits"].append(_visit(visit, dates, texts, room))
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


def _visit(visit: Visit, dates: Mapping[str, int], texts: _Texts, room: dict[str, int]) -> dict[str, Any]:
    suites: dict[str, dict[str, Any]] = {}
    for test in visit.tests:
        suite = suites.setdefault(test.suite, {"counts": {}, "passed": [], "others": []})
        suite["counts"][test.outcome] = suite["counts"].get(test.outcome, 0) + 1
        if test.outcome in TROUBLE:
            evidence = _within(test.evidence, room)
            suite["others"].append(_test(test, texts) | ({"evidence": evidence} if evidence else {}))
            continue
        evidence = _within(test.evidence, room) if test.evidence else []
        if test.outcome == "skipped" or evidence or test.attempts > 1:
            suite["others"].append(_test(test, texts) | ({"evidence": evidence} if evidence else {}))
        elif room["passing"] > 0:
            room["passing"] -= 1
            suite["passed"].append(texts.number(test.short))
    return {
        "at": dates[visit.night],
        "started": visit.started,
        "complete": visit.complete,
        "ran": [texts.number(f"{name} {text}") for name, text in visit.runs_on().items()],
        "faults": [texts.number(fault) for fault in visit.faults],
        "suites": suites,
    }


def _test(test: Any, texts: _Texts) -> dict[str, Any]:
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


def _within(evidence: Sequence[Mapping[str, str]], room: dict[str, int]) -> list[dict[str, str]]:
    kept = []
    for one in evidence:
        size = len(one.get("text", ""))
        if {"name", "kind", "text"} <= set(one) and size <= room["evidence"]:
            room["evidence"] -= size
            kept.append(dict(one))
    return kept


def _devices(visits: Sequence[Visit], verdicts: Sequence[Verdict], dates: Mapping[str, int]) -> list[dict[str, Any]]:
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
                "lines": [line(verdict, dates) for verdict in mine],
                **paths(mine),
            }
        )
    return found
