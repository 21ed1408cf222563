"""Results on disk as soon as a test has ended: a crash of the controller loses none of those that had finished."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hil.plugin.run import current
from hil.report.junit import Case, Journal

_PART = "hil-journal"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the JUnit file that ``--hil-junit`` names.

    Raises:
        pytest.UsageError: it cannot be written.

    """
    run = current(session.config)
    if not run.options.junit:
        return
    path, bench = Path(run.options.junit), run.bench
    began = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        journal = Journal(path, name=f"{bench.name} ({bench.nature})", host=bench.inventory.host.hostname, time=began)
    except OSError as error:
        source = run.options.said["junit"]
        raise pytest.UsageError(f"hil: {source}: {path} cannot be written: {error.strerror}") from error
    session.config.pluginmanager.register(_Journaling(journal), _PART)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the file."""
    part = config.pluginmanager.get_plugin(_PART)
    if isinstance(part, _Journaling):
        part.journal.close()


class _Journaling:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._parts: dict[str, list[pytest.TestReport]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        parts = self._parts.setdefault(report.nodeid, [])
        parts.append(report)
        if report.when == "teardown":
            self.journal.add(_case(self._parts.pop(report.nodeid)))


def _case(parts: list[pytest.TestReport]) -> Case:
    # The first part that went wrong tells how the test ended; a setup or teardown that fails is no verdict on the test.
    worst = next((part for part in parts if not part.passed), parts[-1])
    outcome = "error" if worst.failed and worst.when != "call" else worst.outcome
    place, _, name = worst.nodeid.partition("::")
    text = "" if worst.passed else worst.longreprtext
    return Case(
        classname=place.removesuffix(".py").replace("/", "."),
        name=name or worst.nodeid,
        seconds=sum(part.duration for part in parts),
        outcome=outcome,
        message=_message(worst),
        text=text,
        properties=tuple((str(key), str(value)) for key, value in worst.user_properties),
    )


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return text.split("\n", 1)[0]
