"""How a test ended over nights: since when it fails, whether it comes and goes, what changed with its first failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from hil.history.words import differences
from hil.report.nights import TROUBLE, Test, Visit

LOOKED_AT: Final = 20
"""Nights of a test that say whether it is flaky."""
COMES_AND_GOES: Final = 2
"""Times that it went bad within those, from which on it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """A test of one bench, as of its last night."""

    test: Test
    """As it ended that night."""
    since: str
    """Night from which on it ends as it does: in trouble, or well."""
    last_good: str
    """Night on which it was last well, before `since`; empty = never, or it is well."""
    nights: int
    """In a row."""
    failed: int
    """Of the last `looked_at` nights."""
    looked_at: int
    recoveries: int
    """How often it went from trouble to well within those nights."""
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What was another on the bench on the first night of trouble than on the last good one."""

    @property
    def in_trouble(self) -> bool:
        """Whether it failed, broke or was cut off."""
        return self.test.outcome in TROUBLE

    @property
    def flaky(self) -> bool:
        """Whether it comes and goes."""
        return self.recoveries + self.in_trouble >= COMES_AND_GOES

    @property
    def fixed(self) -> bool:
        """Whether it is well since its last night and was in trouble the night before."""
        return not self.in_trouble and self.nights == 1 and self.failed > 0 and not self.flaky


def streaks(visits: Sequence[Visit]) -> list[Streak]:
    """A streak for each test of the last of `visits`, all of one bench, oldest first; skipped tests are left out."""
    seen: dict[str, list[tuple[Visit, Test]]] = {}
    for visit in visits:
        for test in visit.tests:
            if test.outcome != "skipped":
                seen.setdefault(test.name, []).append((visit, test))
    if not visits:
        return []
    last = visits[-1]
    return [_streak(seen[test.name]) for test in last.tests if test.outcome != "skipped"]


def _streak(nights: Sequence[tuple[Visit, Test]]) -> Streak:
    trouble = [test.outcome in TROUBLE for _, test in nights]
    now = trouble[-1]
    start = len(trouble)
    while start > 0 and trouble[start - 1] == now:
        start -= 1
    visit, test = nights[start][0], nights[-1][1]
    before = nights[start - 1][0] if start else None
    window = trouble[-LOOKED_AT:]
    changed: dict[str, tuple[str, str]] = {}
    if now and before is not None:
        changed = differences(before.runs_on(test.device), visit.runs_on(test.device))
    return Streak(
        test=test,
        since=visit.night,
        last_good=before.night if now and before is not None else "",
        nights=len(nights) - start,
        failed=sum(window),
        looked_at=len(window),
        recoveries=sum(first and not second for first, second in pairwise(window)),
        changed=changed,
    )
