"""What is to be run: draws, controls and clean machines, in an order that is fair wherever it is cut off."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hil.cli.coverage import catalogue
from hil.cli.coverage.arithmetic import spread_order
from hil.cli.coverage.catalogue import Drawn, Entry
from hil.hosts.selection import DEFAULT_PROFILE
from hil.sim import profile

HIL_SEEDS = 1 << 32
CONTROLS_SHARE = 4
"""One draw of a negative control to so many of a fault: nothing ends its run early, and its draws differ little."""


class Kind(StrEnum):
    """What a run is for."""

    FAULT = "fault"
    CONTROL = "control"
    """A fault that is none: all suites stay green."""
    CLEAN = "clean"
    """``quick`` on a machine without a fault."""
    WHOLE = "whole"
    """The whole of the default run on such a machine, and the soaks that some fault is to be seen by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One machine that the suites are run on."""

    kind: Kind
    number: int
    """From 0, within its fault or kind."""
    profile: str
    seed: int
    """For ``--hil-seed``."""
    fault: str = ""
    seen_by: str = ""
    soaks: tuple[str, ...] = ()
    """Kinds of suites whose soaks are run, too."""
    severity: float | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    """For ``--hil-fault``; empty = none."""
    below_sight: str = ""
    """Why it need not be run; empty = it must."""

    @property
    def key(self) -> str:
        """Tells it from every other job of the same score."""
        return f"{self.fault or self.kind.value} {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is to be measured."""

    draws: int
    clean: int
    whole: int
    seed: int
    profiles: tuple[str, ...]
    """That the user asked for; empty = what each fault says, and every profile with a GPU for clean machines."""


def jobs(entries: Collection[Entry], sizes: Sizes) -> list[Job]:
    """Everything to run, faults and severities mixed, so that whatever is left out at the end is missing evenly.

    Raises:
        UsageError: a fault draws what cannot be used.

    """
    groups = []
    for entry in entries:
        draws = -(-sizes.draws // CONTROLS_SHARE) if entry.kind.control else sizes.draws
        groups.append([_of(entry, n, catalogue.draw(entry, n, draws, sizes.seed), sizes) for n in spread_order(draws)])
    # A soak that catches a fault has to be green without one.
    soaks = {entry.kind.seen_by for entry in entries if entry.kind.soaks}
    groups += [_clean(Kind.CLEAN, sizes.clean, sizes), _clean(Kind.WHOLE, sizes.whole, sizes, soaks)]
    return mixed(groups)


def repeated(entries: Iterable[Entry], sizes: Sizes, before: Mapping[str, tuple[int, Drawn]]) -> list[Job]:
    """The jobs of CI: one draw a fault, the one of `before` (its number, and what it was) if any; and clean machines.

    Raises:
        UsageError: a fault draws what cannot be used.

    """
    groups = []
    for entry in entries:
        number, drawn = before.get(entry.name) or (0, catalogue.draw(entry, 0, 1, sizes.seed))
        groups.append([_of(entry, number, drawn, sizes)])
    return mixed([*groups, _clean(Kind.CLEAN, sizes.clean, sizes)])


def mixed(groups: Iterable[Sequence[Job]]) -> list[Job]:
    """The jobs of all `groups`, each group spread evenly over the whole."""
    placed = [((i + 0.5) / len(group), job) for group in groups for i, job in enumerate(group)]
    return [job for _, job in sorted(placed, key=lambda item: item[0])]


def with_gpus() -> tuple[str, ...]:
    """Profiles that come with hil and have a GPU, the default one first."""
    names = [name for name in profile.shipped() if profile.load(name).gpu]
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_PROFILE, name)))


def _of(entry: Entry, number: int, drawn: Drawn, sizes: Sizes) -> Job:
    profiles = sizes.profiles or entry.profiles
    return Job(
        kind=Kind.CONTROL if entry.kind.control else Kind.FAULT,
        number=number,
        profile=profiles[number % len(profiles)],
        seed=_hil_seed(sizes.seed, entry.name, number),
        fault=entry.name,
        seen_by=entry.kind.seen_by,
        soaks=(entry.kind.seen_by,) if entry.kind.soaks else (),
        severity=drawn.severity,
        given=drawn.given,
        text=drawn.text,
        below_sight=drawn.below_sight,
    )


def _clean(kind: Kind, count: int, sizes: Sizes, soaks: Collection[str] = ()) -> list[Job]:
    profiles = sizes.profiles or with_gpus()
    return [
        Job(kind=kind, number=n, profile=name, seed=_hil_seed(sizes.seed, kind.value, n), soaks=tuple(sorted(soaks)))
        for n, name in zip(range(count), _in_turn(profiles), strict=False)
    ]


def _in_turn(names: Sequence[str]) -> Iterator[str]:
    while True:
        yield from names


def _hil_seed(seed: int, name: str, number: int) -> int:
    return random.Random(f"hil-seed {seed} {name} {number}").randrange(HIL_SEEDS)  # noqa: S311  (reproducible)
