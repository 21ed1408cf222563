"""The history in a run: opened before any test, what the summary says of it."""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hil
from hil.errors import UsageError
from hil.plugin.checkout import commit_of
from hil.plugin.run import Run, current

if TYPE_CHECKING:
    from hil.history import Tonight

NONE = "none"
_SHOWN = 10
"""Groups in the summary, and series of a group."""
_TONIGHT: pytest.StashKey[Tonight] = pytest.StashKey()


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the history file, if this run has one.

    Raises:
        pytest.UsageError: it cannot be used; pytest ends with exit code 4 before any test.

    """
    run = current(session.config)
    path = _path(run)
    if path is None or session.config.option.collectonly:
        return
    from hil.history import Tonight, open_history  # noqa: PLC0415  (numpy; only a run with a history pays for it)

    try:
        history = open_history(path)
        tonight = Tonight(history, run=uuid.uuid4().hex, context=_context(run, session.config))
        session.config.stash[_TONIGHT] = tonight
        complaint = tonight.clock_complaint()
    except UsageError as error:
        raise pytest.UsageError(f"hil: {run.options.said['history']}: {error}") from error
    if complaint:
        run.bench.notes.append(complaint)


def tonight_of(config: pytest.Config) -> Tonight | None:
    """The run's history; `None` where it has none."""
    return config.stash.get(_TONIGHT, None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the file."""
    tonight = tonight_of(config)
    if tonight is not None:
        tonight.close()


def told(config: pytest.Config) -> Iterator[str]:
    """Lines of the summary: what was kept, and which series are worse, by what they share."""
    tonight = tonight_of(config)
    if tonight is None:
        return
    from hil.history.tonight import grouped  # noqa: PLC0415
    from hil.history.words import change_sentence  # noqa: PLC0415

    yield f"history   {tonight.kept} figures kept in {tonight.path}"
    groups = grouped(tonight.worse.values())
    for shared, verdicts in groups[:_SHOWN]:
        yield f"WORSE     {len(verdicts)} series: {shared}"
        for verdict in verdicts[:_SHOWN]:
            if verdict.change is not None:
                yield f"          {verdict.key.label()}: {change_sentence(verdict.change, verdict.key)}"
        if len(verdicts) > _SHOWN:
            yield f"          … and {len(verdicts) - _SHOWN} more"
    if len(groups) > _SHOWN:
        yield f"          … and {len(groups) - _SHOWN} more groups; `hil history list` shows all"


def _path(run: Run) -> Path | None:
    said = run.options.history
    if said:
        return None if said == NONE else Path(said)
    if run.bench.nature != "real hardware":
        return None  # nobody compares the nights of a CPU that computes for others, too
    from hil.history.place import history_path  # noqa: PLC0415

    return history_path(None)


def _context(run: Run, config: pytest.Config) -> dict[str, str]:
    host = run.bench.inventory.host
    found = {
        "os": f"{host.system} {host.os_version}".strip(),
        "host": host.model or host.hostname,
        "hil": hil.__version__,
        "commit": commit_of(config.rootpath)[:12],
        "command": shlex.join(sys.argv),
        "seed": str(run.options.seed),
    }
    return {name: text for name, text in found.items() if text}
