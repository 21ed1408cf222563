"""A past for machines that have none: thirty clean nights of throughput a profile, so that histories tell."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hil.cli.coverage import command, spans
from hil.cli.coverage.command import Suites
from hil.cli.coverage.crew import Crew, Ended
from hil.cli.coverage.stop import Stop
from hil.errors import BenchFault
from hil.history.seeding import seed_history

KIND = "throughput"
_NIGHT, _PAST = "night.db", "past.db"
_NAP = 1.0
_SHOWN = 600
"""Characters of a failed run's output in the message."""


def make(
    profiles: Iterable[str],
    crew: Crew,
    where: Suites,
    folder: Path,
    *,
    seed: int,
    stop: Stop,
    tell: Callable[[int, int], None],
) -> dict[str, Path]:
    """Run the throughput suite once on a clean machine of each of `profiles`, and repeat its figures over the nights.

    Args:
        profiles: of the simulated machines.
        crew: which runs them; nothing else is under way in it.
        where: the suites.
        folder: existing; for the files.
        seed: of the nights' spread.
        stop: once it is asked, runs are ended in order; once its budget is spent, none begins.
        tell: is told now and then how many profiles are done, and of how many.

    Returns:
        A history file for each profile, less those that `stop` left out; nothing where the suites have no folder for
        throughput.

    Raises:
        BenchFault: the suite is not green on a clean machine: whatever it said of a fault would mean nothing.

    """
    if KIND not in where.kinds:
        return {}
    waiting = list(dict.fromkeys(profiles))
    total = len(waiting)
    running: dict[int, str] = {}
    found: dict[str, Path] = {}
    while running or (waiting and not stop.spent):
        if stop.asked:
            crew.interrupt()
            break
        tell(len(found), total)
        while waiting and crew.idle and not stop.spent:
            profile, place = waiting.pop(0), crew.folder()
            arguments = command.clean_night(profile, where, KIND, place / _NIGHT, seed=seed)
            running[crew.start(arguments, place)] = profile
        for ended in crew.wait(_NAP):
            profile = running.pop(ended.ticket)
            if ended.status != 0:
                raise BenchFault(
                    f"no history for {profile}: the throughput suite {_end(ended)} on a clean machine, so "
                    f"nothing it said of a fault would mean anything:\n{ended.output[-_SHOWN:].strip()}"
                )
            found[profile] = folder / f"{len(found)}-{_PAST}"
            seed_history(ended.folder / _NIGHT, found[profile], seed=seed)
            crew.forget(ended)
    return found


def given(past: Mapping[str, Path], profile: str, folder: Path) -> list[str]:
    """Options of pytest for one run: the profile's past, copied to `folder` so that no run sees another's figures."""
    source = past.get(profile)
    if source is None:
        return []
    own = folder / _PAST
    shutil.copyfile(source, own)
    return ["--hil-history", str(own)]


def _end(ended: Ended) -> str:
    return f"was killed at --limit after {spans.words(ended.seconds)}" if ended.hung else f"ended with {ended.status}"
