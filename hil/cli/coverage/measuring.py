"""Runs the jobs: several at once, each row kept as soon as it is known, until all are done or no more may begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hil.cli.coverage import command, past, row
from hil.cli.coverage.command import Suites
from hil.cli.coverage.crew import Crew
from hil.cli.coverage.plan import Job
from hil.cli.coverage.row import End, Row, Tally
from hil.cli.coverage.stop import Stop
from hil.errors import BenchFault

RECORD = "record.jsonl"
_GIVE_UP = 3
"""Runs one after the other in which pytest breaks before the first test: that is no fault's doing."""
_NAP = 1.0
"""Real seconds between two looks at the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all jobs have in common."""

    suites: Suites
    ci: bool
    shows_as: Mapping[str, str]
    """What the message of an alarm matches if it is right, by fault."""
    past: Mapping[str, Path] = field(default_factory=dict)
    """The nights before, by profile: a history file each; see `hil.cli.coverage.past`."""


@dataclass(slots=True)
class _Running:
    job: Job
    stages: deque[list[str]]
    tally: Tally = field(default_factory=Tally)


def measure(jobs: Iterable[Job], crew: Crew, task: Task, keep: Callable[[Row], None], stop: Stop) -> None:
    """Run `jobs`; `keep` is given each row as soon as it is known.

    Once `stop` is asked, runs are ended in order; once its budget is spent, none begins.

    Raises:
        BenchFault: pytest's processes end by themselves, or pytest cannot be run at all.

    """
    waiting = deque(jobs)
    running: dict[int, _Running] = {}
    broken: list[Row] = []
    while not stop.asked:
        while waiting and crew.idle and not stop.spent:
            job = waiting.popleft()
            if job.below_sight:
                keep(row.not_run(job))
            else:
                _start(_Running(job, deque(command.stages(job, task.suites, ci=task.ci))), crew, task, running)
        if not running:
            _keep_all(broken, keep)
            return
        for ended in crew.wait(_NAP):
            one = running.pop(ended.ticket)
            known = row.judge(one.job, ended, ended.folder / RECORD, one.tally, task.shows_as.get(one.job.fault, ""))
            crew.forget(ended)
            if known.end is End.GREEN and one.stages:
                _start(one, crew, task, running)
            elif known.end is End.CRASHED and not known.tests:
                broken.append(known)
                _look_at(broken)
            else:
                _keep_all([*broken, known], keep)
                broken.clear()
    crew.interrupt()


def _start(one: _Running, crew: Crew, task: Task, running: dict[int, _Running]) -> None:
    folder = crew.folder()
    nights = past.given(task.past, one.job.profile, folder)
    arguments = [*one.stages.popleft(), "--hil-record", str(folder / RECORD), *nights]
    running[crew.start(arguments, folder)] = one


def _keep_all(rows: Iterable[Row], keep: Callable[[Row], None]) -> None:
    for one in rows:
        keep(one)


def _look_at(broken: Sequence[Row]) -> None:
    if len(broken) == _GIVE_UP:
        raise BenchFault(
            f"pytest itself breaks before the first test, {_GIVE_UP} times in a row ({broken[-1].error}: "
            f"{broken[-1].message}): they are not scored; try `pytest suites/ --hil-bench sim`"
        )
