"""The command: from its options to its exit code."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import click
from click.core import ParameterSource

import hil
from hil.cli.coverage import baseline, catalogue, command, digests, ledger, markdown, measuring, past, plan, spans, text
from hil.cli.coverage.catalogue import Entry
from hil.cli.coverage.command import Suites
from hil.cli.coverage.crew import Crew
from hil.cli.coverage.ledger import Head, Measured
from hil.cli.coverage.plan import Job, Sizes
from hil.cli.coverage.progress import Progress
from hil.cli.coverage.row import Row
from hil.cli.coverage.score import About
from hil.cli.coverage.stop import Stop
from hil.errors import BenchFault, UsageError
from hil.sim import profile

OK, FAILED, INTERRUPTED = 0, 1, 130
_DRAWS, _CLEAN, _WHOLE = 20, 20, 1
_OF_FROM = ("shown", "markdown", "baseline", "suites")
"""Options that --from heeds. Suites of one's own are not compared with what comes with hil."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The command line."""

    faults: tuple[str, ...]
    draws: int | None
    profiles: tuple[str, ...]
    jobs: int | None
    budget: str | None
    limit: str
    clean: int | None
    whole: int | None
    seed: int
    file: Path | None
    afresh: bool
    ci: bool
    baseline: Path | None
    shown: Path | None
    """Print what this file holds, and measure nothing."""
    suites: Path | None
    markdown: bool


def run(wish: Wish) -> int:
    """Do it, and print the score; the exit code.

    Raises:
        UsageError: an option makes no sense, or a file holds something else.
        BenchFault: the runs or the file fail.

    """
    if wish.shown is not None:
        _refuse_unheeded()
        return _tell(ledger.read(wish.shown), _before(wish), wish)
    before = _before(wish)
    where = command.suites(wish.suites)
    budget = spans.seconds(wish.budget, option="--budget") if wish.budget is not None else None
    limit = spans.seconds(wish.limit, option="--limit")
    entries = catalogue.chosen(wish.faults)
    sizes = _sizes(wish)
    with nullcontext() if wish.file is None else ledger.alone(wish.file):
        kept = _Kept(wish, _head(wish, sizes, where, entries), entries, _jobs(wish, entries, sizes, before))
        stop = Stop(budget)
        try:
            _measure(kept, entries, where, wish, limit, stop)
        except BenchFault:
            # Hours of runs may lie in no file.
            if kept.made:
                _tell(kept.measured(), before, wish)
            raise
    code = _tell(kept.measured(), before, wish)
    if stop.asked:
        where_kept = f"kept in {wish.file}: the same command goes on" if wish.file else "not kept: no --json FILE"
        click.echo(f"interrupted; what was finished is {where_kept}", err=True)
        return INTERRUPTED
    return code


class _Kept:
    """The rows so far, and the file they lie in."""

    def __init__(self, wish: Wish, head: Head, entries: Sequence[Entry], jobs: Sequence[Job]) -> None:
        self._file = wish.file
        self._head = head
        self._jobs = jobs
        self._about = {entry.name: _about(entry) for entry in entries}
        self._rows: dict[str, Row] = {}
        self._found = self._left = 0
        if wish.file is None:
            return
        if wish.file.exists() and not wish.afresh:
            found = ledger.read(wish.file)
            ledger.same(found.head, head, wish.file)
            self._rows = {row.key: row for row in found.runs}
            self._found = len(self._rows)
            # Who asks for one fault completes no measurement of all.
            self._left = found.left if wish.faults else 0
            self._about = {one.name: one for one in found.about} | self._about
        # What cannot be written is told now, and not when the first run is over.
        ledger.write(wish.file, self.measured())

    @property
    def made(self) -> int:
        """How many runs are finished that were not in the file."""
        return len(self._rows) - self._found

    def waiting(self) -> list[Job]:
        """The jobs that are still to be done."""
        return [job for job in self._jobs if job.key not in self._rows]

    def add(self, row: Row) -> None:
        """One more."""
        self._rows[row.key] = row
        if self._file is not None:
            ledger.write(self._file, self.measured())

    def measured(self) -> Measured:
        """All of it."""
        about, runs = tuple(self._about.values()), tuple(self._rows.values())
        left = max(len(self.waiting()), self._left - self.made)
        return Measured(head=self._head, about=about, runs=runs, left=left)


def _refuse_unheeded() -> None:
    """Raise UsageError if an option was given that --from does not heed."""
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name is not None
        and option.name not in _OF_FROM
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"--from prints what a file holds and measures nothing: leave out {', '.join(given)}")


def _measure(kept: _Kept, entries: Sequence[Entry], where: Suites, wish: Wish, limit: float, stop: Stop) -> None:
    """Make the runs that are waiting in `kept`, until all are made or `stop` says so."""
    waiting = kept.waiting()
    progress = Progress(len(waiting))

    def keep(row: Row) -> None:
        kept.add(row)
        progress.add(row)

    shows_as = {entry.name: entry.kind.shows_as for entry in entries}
    profiles = [job.profile for job in waiting if not job.below_sight]
    try:
        with (
            stop.listening(),
            Crew(_at_once(wish, waiting), limit=limit) as crew,
            tempfile.TemporaryDirectory(prefix="hil-past-") as folder,
        ):
            nights = past.make(profiles, crew, where, Path(folder), seed=wish.seed, stop=stop, tell=progress.prepare)
            task = measuring.Task(suites=where, ci=wish.ci, shows_as=shows_as, past=nights)
            measuring.measure(waiting, crew, task, keep, stop)
    finally:
        progress.end()


def _tell(measured: Measured, before: Measured | None, wish: Wish) -> int:
    lost = baseline.lost(measured, before) if before is not None else []
    for line in markdown.lines(measured, lost) if wish.markdown else text.lines(measured, lost):
        click.echo(line)
    return FAILED if lost or measured.score().alarms else OK


def _before(wish: Wish) -> Measured | None:
    path = wish.baseline
    if path is None and wish.suites is None:
        path = baseline.committed()
    return None if path is None else ledger.read(path)


def _sizes(wish: Wish) -> Sizes:
    for name in wish.profiles:
        profile.load(name)
    # Who asks for one fault wants to know of that one.
    some = not wish.faults
    clean, whole = (len(wish.profiles or plan.with_gpus()), 0) if wish.ci else (_CLEAN, _WHOLE)
    draws = 1 if wish.ci else _DRAWS
    if wish.ci and wish.draws not in (None, 1):
        raise UsageError(f"--draws {wish.draws}: --ci makes one draw a fault; leave one of the two out")
    return Sizes(
        draws=draws if wish.draws is None else wish.draws,
        clean=clean * some if wish.clean is None else wish.clean,
        whole=whole * some if wish.whole is None else wish.whole,
        seed=wish.seed,
        profiles=wish.profiles,
    )


def _jobs(wish: Wish, entries: Sequence[Entry], sizes: Sizes, before: Measured | None) -> list[Job]:
    # One that cannot be seen yet is run only for who names it.
    counted = [entry for entry in entries if wish.faults or not entry.kind.unscored]
    if not wish.ci:
        return plan.jobs(counted, sizes)
    if before is None:
        return plan.repeated(counted, sizes, {})
    tried = counted if wish.faults else baseline.worth_trying(before, counted)
    # The seeds of what is repeated are those it was measured with.
    return plan.repeated(tried, replace(sizes, seed=before.head.seed), baseline.to_repeat(before, tried))


def _head(wish: Wish, sizes: Sizes, where: Suites, entries: Sequence[Entry]) -> Head:
    return Head(
        hil=hil.__version__,
        mode="ci" if wish.ci else "full",
        seed=wish.seed,
        draws=sizes.draws,
        profiles=sizes.profiles,
        suites=digests.suites(where),
        catalogue=digests.faults(entries),
    )


def _about(entry: Entry) -> About:
    kind = entry.kind
    return About(
        name=entry.name, domain=kind.domain, seen_by=kind.seen_by, control=kind.control, unscored=kind.unscored
    )


def _at_once(wish: Wish, waiting: Sequence[Job]) -> int:
    return min(wish.jobs or os.cpu_count() or 1, len(waiting))
