"""What is kept of a run: how it ended, which test said so, in what words, and how long it took."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hil.cli.coverage.crew import Ended
from hil.cli.coverage.plan import Job, Kind
from hil.errors import UsageError
from hil.report.record import Finished, Record, read

_SHORT = 400
"""Characters of a message that are kept."""
_CAME_TO_AN_END = (0, 1, 4, 5)
"""pytest's exit codes of a run that says something about the bench: green, red, bench cannot be opened, no test."""
_CENTURY = 3.2e9
"""Seconds; no run took longer, and sums of such are numbers still."""

# As a file may hold them; see `hil.cli.coverage.ledger.read`.
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=_CENTURY)]


class End(StrEnum):
    """How a run ended."""

    GREEN = "green"
    ALARM = "alarm"
    HUNG = "hung"
    """It was killed at its limit of real time: the run itself hung, and told nobody."""
    CRASHED = "crashed"
    """pytest broke: an internal error, or a signal."""
    NOT_RUN = "not run"
    """Nobody could have seen the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One draw, control or clean run that is over."""

    kind: Kind
    fault: str
    number: Count
    profile: str
    seed: Count
    severity: Share | None
    given: Mapping[str, str] = field(default_factory=dict)
    below_sight: str = ""
    struck: Count | None = None
    """How often the fault acted; `None` = not known, because the run or the machine did not live to tell."""
    end: End
    test: str = ""
    """That raised the alarm; empty = the run as a whole did."""
    suite: str = ""
    """Its kind: the folder of suites that it lies in."""
    error: str = ""
    hop: str = ""
    message: str = ""
    right: bool | None = None
    """Whether the message names what was wrong; `None` = there is none, or the fault does not say what is right."""
    tests: Count = 0
    """Run until then, without those that were skipped."""
    seconds: Seconds = 0.0
    """Real ones until the run was over, with its start and its end."""
    host_seconds: Seconds = 0.0
    """On the clock of the machine under test."""

    @property
    def key(self) -> str:
        """As `Job.key`."""
        return f"{self.fault or self.kind.value} {self.number}"

    @property
    def repeat(self) -> str:
        """Options of pytest that do the same again."""
        options = f"--hil-bench sim:{self.profile} --hil-seed {self.seed}"
        settings = ",".join(f"{key}={value}" for key, value in self.given.items())
        return f"{options} --hil-fault {shlex.quote(f'{self.fault}:{settings}')}" if self.fault else options


@dataclass(slots=True)
class Tally:
    """Adds up the runs of one job."""

    struck: int | None = 0
    tests: int = 0
    seconds: float = 0.0
    host_seconds: float = 0.0


def not_run(job: Job) -> Row:
    """The row of a draw that nobody could see."""
    return _row(job, Tally(struck=None), end=End.NOT_RUN)


def judge(job: Job, ended: Ended, record: Path, tally: Tally, shows_as: str) -> Row:
    """What became of `job`.

    Args:
        job: what was to be run.
        ended: its last run of pytest.
        record: what that run has written down.
        tally: of the runs of this job before; this one is added.
        shows_as: what a message has to match to be right; empty = not said.

    """
    told = _record(record)
    tests = [test for test in (told.tests if told else ()) if test.outcome != "skipped"]
    alarm = next((test for test in tests if test.outcome != "passed"), None)
    _add(tally, job, ended, told, alarm)
    if alarm is not None:
        words = _short(alarm.message)
        return _row(
            job,
            tally,
            end=End.ALARM,
            test=alarm.test,
            suite=alarm.test.partition("/")[0],
            error=alarm.error,
            hop=alarm.hop,
            message=words,
            right=bool(re.search(shows_as, alarm.message, re.IGNORECASE)) if shows_as else None,
        )
    if ended.hung:
        last = [*told.cut_off, ""][0] if told else ""
        where = f"in {last}" if last else "outside any test"
        return _row(job, tally, end=End.HUNG, test=last, message=f"the run itself hung, {where}")
    if ended.status in (0, 5):
        return _row(job, tally, end=End.GREEN)
    words = _short(_last_words(ended.output))
    end = End.ALARM if ended.status in _CAME_TO_AN_END else End.CRASHED
    right = bool(re.search(shows_as, words, re.IGNORECASE)) if shows_as and end is End.ALARM else None
    error = f"exit code {ended.status}" if ended.status >= 0 else f"signal {-ended.status}"
    return _row(job, tally, end=end, error=error, message=words, right=right)


def _add(tally: Tally, job: Job, ended: Ended, told: Record | None, alarm: Finished | None) -> None:
    tests = [test for test in (told.tests if told else ()) if test.outcome != "skipped"]
    counted = tests[: tests.index(alarm) + 1] if alarm else tests
    tally.tests += len(counted)
    tally.host_seconds += sum(test.seconds for test in counted)
    tally.seconds += ended.seconds
    acted = told.end.struck.get(job.text) if told and told.end else None
    tally.struck = None if acted is None or tally.struck is None else tally.struck + acted


def _row(job: Job, tally: Tally, *, end: End, **facts: Any) -> Row:
    return Row(
        kind=job.kind,
        fault=job.fault,
        number=job.number,
        profile=job.profile,
        seed=job.seed,
        severity=job.severity,
        given=dict(job.given),
        below_sight=job.below_sight,
        struck=tally.struck if job.text else None,
        end=end,
        tests=tally.tests,
        seconds=round(tally.seconds, 3),
        host_seconds=round(tally.host_seconds, 6),
        **facts,
    )


def _record(path: Path) -> Record | None:
    try:
        return read(path)
    except UsageError:
        return None  # the run ended before it could write one


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # An exception says more than pytest's own line on it.
    told = [line[2:].strip() for line in lines if line.startswith("E ")]
    told = told or [line for line in lines if line.startswith(("ERROR", "NOT RESTORED", "INTERNALERROR"))]
    return (told or lines or ["it printed nothing"])[-1]


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _SHORT else words[: _SHORT - 1] + "…"
