"""Going on with a run that was cut off: what it had finished keeps its result, what it was doing is done again."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from hil.errors import BenchFault
from hil.plugin.run import Run, current
from hil.plugin.summary import remember
from hil.report import attach
from hil.report.record import Record

ATTEMPTS = 2
"""How often a test may be cut off; then it ends as broken without being run, and the run can come to its end."""
_PART = "hil-resumer"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Go on with the run that ``--hil-resume`` names, if it has begun."""
    run = current(session.config)
    if run.options.resumed is not None:
        session.config.pluginmanager.register(_Resumer(run, run.options.resumed), _PART)


class _Resumer:
    def __init__(self, run: Run, record: Record) -> None:
        self._run = run
        self._record = record
        self._finished = {test.test for test in record.tests}
        self._recalled = False

    def pytest_report_header(self) -> list[str]:
        record = self._record
        before = f"{len(record.tests)} tests were finished ({record.counts()}), {len(record.cut_off)} cut off"
        lines = [f"  resumes the run of {record.head.started} ({self._run.options.record}): {before}"]
        if record.parts[-1].boot_id != self._run.bench.inventory.host.boot_id:
            lines.append("  the machine under test has booted since")
        return lines

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self._finished]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        session.testscollected += len(self._finished)
        try:
            return (yield)
        finally:
            self._recall(session.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        # Not before pytest's own loop: that takes failures which were there before it for errors of collection.
        self._recall(item.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        times = self._record.cut_off.get(item.nodeid, 0)
        if not times:
            return
        text = f"cut off {times} × before, in the run that this one goes on with (began {self._record.head.started})"
        item.user_properties.append(("cut off", text))
        attach("cut off", text)
        self._run.cut_off.append(f"{item.nodeid}: {times} ×")
        if times >= ATTEMPTS:
            raise BenchFault(
                f"{item.nodeid} was cut off {times} × (the run was killed, or the machine went down) and is not "
                "run again: see the machine's own reports of a panic; run this test alone to try it once more"
            )

    def _recall(self, config: pytest.Config) -> None:
        if self._recalled:
            return
        self._recalled = True
        for test in self._record.tests:
            for facts in test.reports:
                report: Any = config.hook.pytest_report_from_serializable(config=config, data=dict(facts))
                if isinstance(report.longrepr, list):  # JSON knows no tuples, and pytest asks for one
                    report.longrepr = tuple(report.longrepr)
                config.hook.pytest_runtest_logreport(report=report)
            remember(config, test)
