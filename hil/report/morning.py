"""Is tonight good? What changed, where, since when, and with which driver, system or firmware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from hil.bench.device import QUARANTINE
from hil.history.verdict import Change, Verdict
from hil.history.words import quantity
from hil.model import size_text
from hil.report.nights import TROUBLE, Visit
from hil.report.streaks import Streak, streaks
from hil.report.words import counted, verdict

RETIRED: Final = 14
"""Nights without a run after which a bench is not missed any more."""
NEWS: Final = 7
"""Nights for which a change for the better is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to know."""

    kind: str
    """``regression``, ``failed``, ``broken``, ``cut off``, ``not restored``, ``missing``: tonight is not good.
    ``flaky``, ``fixed``, ``better``: it may be."""
    bench: str
    device: str = ""
    """Alias, or id where no record tells one."""
    sentence: str
    since: str = ""
    """Night."""
    changed: str = ""
    """On the bench, with it."""
    tests: tuple[str, ...] = ()
    suite: str = ""
    """Of the first of them."""
    detail: str = ""
    """First message."""

    @property
    def bad(self) -> bool:
        """Whether tonight is not good because of it."""
        return self.kind in BAD


BAD: Final = ("regression", "failed", "broken", "cut off", "not restored", "missing")
_ORDER: Final = (*BAD, "flaky", "fixed", "better")


@dataclass(frozen=True, slots=True, kw_only=True)
class Morning:
    """One night of all real benches, or of all simulated ones."""

    simulated: bool
    night: str
    items: tuple[Item, ...]
    """What is bad first, and of that what is new."""
    counts: Mapping[str, int]
    """Tests by outcome."""
    benches: int
    """That ran."""
    idle: int = 0
    """Of those, that ran no test."""

    @property
    def good(self) -> bool:
        """Whether nobody needs to look."""
        return self.verdict == "good"

    @property
    def verdict(self) -> str:
        """``good``, ``NOT good``, or ``not known``: there is no record of a run, or a bench ran no test."""
        return verdict(bad=any(item.bad for item in self.items), ran=self.benches > 0 and not self.idle)

    @property
    def headline(self) -> str:
        """One line."""
        return f"{self.verdict}: {', '.join([*self.troubles(), *self.told()])}"

    def told(self) -> list[str]:
        """How the tests ended, worst first, then the benches that ran."""
        ran = f"{_counted(self.benches, 'bench', 'benches')} ran" if self.benches else "no run on record"
        return [*counted(self.counts), ran]

    def troubles(self) -> list[str]:
        """What the counts of tests do not tell."""
        kinds = Counter(item.kind for item in self.items)
        found = [_counted(kinds["regression"], "regression")] if kinds["regression"] else []
        if kinds["not restored"]:
            found.append(f"{_counted(kinds['not restored'], 'bench', 'benches')} not restored")
        if self.idle:
            found.append(f"{_counted(self.idle, 'bench', 'benches')} ran no test")
        if kinds["missing"]:
            found.append(f"{_counted(kinds['missing'], 'bench', 'benches')} did not run")
        return found


def mornings(visits: Sequence[Visit], verdicts: Sequence[Verdict]) -> list[Morning]:
    """The last night of the real benches, then that of the simulated ones; never both in one."""
    found = []
    for simulated in (False, True):
        mine = [visit for visit in visits if visit.simulated == simulated]
        judged = [one for one in verdicts if one.key.simulated == simulated and one.nights]
        if mine or judged:
            found.append(_morning(mine, judged, simulated=simulated))
    return found


def names_of(visits: Iterable[Visit]) -> dict[tuple[str, str], str]:
    """Aliases of devices by bench and device id; the latest counts."""
    return {
        (visit.bench, facts["id"]): alias for visit in visits for alias, facts in visit.devices.items() if "id" in facts
    }


def _morning(visits: Sequence[Visit], verdicts: Sequence[Verdict], *, simulated: bool) -> Morning:
    night = max([*(visit.night for visit in visits), *(one.nights[-1].date for one in verdicts)])
    benches: dict[str, list[Visit]] = {}
    for visit in visits:
        benches.setdefault(visit.bench, []).append(visit)
    names = names_of(visits)
    # The largest copies speak for the others.
    largest = sorted(verdicts, key=lambda one: -one.key.nbytes)
    items = [item for one in largest for item in _of_series(one, names, night)]
    ran = [mine[-1] for mine in benches.values() if mine[-1].night == night]
    for mine in benches.values():
        items += _of_bench(mine, night)
    counts = Counter(test.outcome for visit in ran for test in visit.tests)
    items = [*_shared(items)]
    items.sort(key=_first)
    idle = sum(not visit.tests for visit in ran)
    return Morning(simulated=simulated, night=night, items=tuple(items), counts=counts, benches=len(ran), idle=idle)


def _first(item: Item) -> tuple[bool, int, int, str, str]:
    news = _negative(item.since) if item.bad else 0
    return not item.bad, news, _ORDER.index(item.kind), item.bench, item.device


def _of_bench(visits: Sequence[Visit], night: str) -> Iterator[Item]:
    last = visits[-1]
    if last.night != night:
        away = (date.fromisoformat(night) - date.fromisoformat(last.night)).days
        if away <= RETIRED:
            told = f"did not run; last on {last.night}"
            yield Item(kind="missing", bench=last.bench, since=last.night, sentence=told)
        return
    if not last.complete:
        yield Item(kind="cut off", bench=last.bench, since=night, sentence="the run was cut off, or is not over")
    if not last.restored:
        told = "no test on record failed, yet the run ended with exit code 1: see its last lines (NOT RESTORED?)"
        yield Item(kind="not restored", bench=last.bench, since=night, sentence=told)
    groups: dict[tuple[str, ...], list[Streak]] = {}
    for one in streaks(visits):
        test = one.test
        if one.in_trouble:
            kind = "broken" if test.outcome == "cut off" else test.outcome
            held_back = "quarantine" if test.operation == QUARANTINE else test.hop
            groups.setdefault((kind, test.device, held_back, one.since, str(one.flaky)), []).append(one)
        elif one.flaky:
            groups.setdefault(("flaky", test.device, test.hop, "", "True"), []).append(one)
        elif one.fixed:
            groups.setdefault(("fixed", test.device, test.hop, one.since, ""), []).append(one)
    for (kind, device, hop, *_), members in groups.items():
        yield _item(kind, last.bench, device, hop, members, night)


def _item(kind: str, bench: str, device: str, hop: str, members: Sequence[Streak], night: str) -> Item:
    first = members[0]
    tests = tuple(one.test.name for one in members)
    what = first.test.short if len(members) == 1 else f"{len(members)} tests"
    often = f"{max(one.failed for one in members)} of the last {first.looked_at} nights"
    if kind in TROUBLE:
        when = "new tonight" if first.since == night else f"for {first.nights} nights"
        if not first.last_good and first.since != night:
            when = f"for at least {first.nights} nights"
        place = " (device in quarantine)" if hop == "quarantine" else f" at hop {hop}" if hop else ""
        comes = f"; comes and goes: {often}" if first.flaky else ""
        sentence = f"{what} {kind}{place}, {when}{comes}"
    elif kind == "flaky":
        sentence = f"{what} passed tonight, failed in {often}: comes and goes"
    else:
        sentence = f"{what} passed again"
    return Item(
        kind=kind, bench=bench, device=device, sentence=sentence, tests=tests, suite=first.test.suite,
        since="" if kind == "flaky" else first.since, changed=_told(first.changed), detail=first.test.message,
    )  # fmt: skip


def _of_series(judged: Verdict, names: Mapping[tuple[str, str], str], night: str) -> Iterator[Item]:
    key, change = judged.key, judged.change
    if change is None or judged.status not in ("worse", "better"):
        return
    better = judged.status == "better"
    if better and (date.fromisoformat(night) - date.fromisoformat(change.since.date)).days > NEWS:
        return
    size = f" {size_text(key.nbytes)}" if key.nbytes else ""
    yield Item(
        kind="better" if better else "regression",
        bench=key.bench,
        device=names.get((key.bench, key.device), key.device),
        sentence=f"{key.direction} {key.metric}{size} {_size(change, key.unit)}",
        since=change.since.date,
        changed=_told(change.context),
    )


def _size(change: Change, unit: str) -> str:
    return f"{100 * change.share:+.1f} % ({quantity(change.before, unit)} → {quantity(change.after, unit)})"


def _shared(items: Sequence[Item]) -> Iterator[Item]:
    """`items` with regressions of one device that came with one change in one: the largest speaks for them."""
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        alike = (item.kind, item.bench, item.device, item.since, item.changed)
        own = () if item.kind in ("regression", "better") else (item.sentence, *item.tests)
        groups.setdefault((*alike, *own), []).append(item)
    for first, *others in groups.values():
        more = f"; and {_counted(len(others), 'more series', 'more series')}" if others else ""
        also = f"also {', '.join(_series_name(one) for one in others)}" if others else ""
        yield replace(first, sentence=first.sentence + more, detail=first.detail or also)


def _series_name(item: Item) -> str:
    return item.sentence.partition(" (")[0]


def _told(changed: Mapping[str, tuple[str, str]]) -> str:
    return "; ".join(f"{name} {old or 'unknown'} → {new or 'unknown'}" for name, (old, new) in changed.items())


def _counted(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _negative(night: str) -> int:
    return -date.fromisoformat(night).toordinal() if night else 0
