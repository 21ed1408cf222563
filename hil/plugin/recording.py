"""The record that ``--hil-record`` and ``--hil-resume`` name: written while the run goes on."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import hil
from hil.bench.device import Device
from hil.errors import HilError
from hil.plugin.run import Run, current
from hil.report.evidence import Attachment, begin, bounded
from hil.report.record import Began, End, Finished, Part, Writer

_PART = "hil-recorder"
_OWN_MARKERS = ("parametrize", "allure_")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin the record, or go on with it.

    Raises:
        pytest.UsageError: it cannot be written.

    """
    run = current(session.config)
    path = run.options.record
    if not path or session.config.option.collectonly:
        return
    try:
        # A simulated machine takes no disk down with it.
        writer = Writer(Path(path), append=run.options.resumed is not None, durable=not run.bench.simulated)
    except OSError as error:
        source = run.options.said["resume" if run.options.resumed else "record"]
        raise pytest.UsageError(f"hil: {source}: {path} cannot be written: {error.strerror}") from error
    writer.part(_begin(run))
    session.config.pluginmanager.register(_Recorder(run, writer), _PART)


def _begin(run: Run) -> Part:
    bench = run.bench
    return Part(
        hil=hil.__version__,
        bench=bench.name,
        nature=bench.nature,
        simulated=bench.simulated,
        seed=run.options.seed,
        boot_id=bench.inventory.host.boot_id,
        command=shlex.join(sys.argv),
        started=_time(),
        faults=_faults(run),
        context=_context(run),
        devices={device.alias: _device(device) for device in bench.devices},
    )


def _context(run: Run) -> dict[str, str]:
    host = run.bench.inventory.host
    facts = {"host": host.model or host.hostname, "os": f"{host.system} {host.os_version}", "hil": hil.__version__}
    return {name: text.strip() for name, text in facts.items() if text.strip()}


def _device(device: Device) -> dict[str, str]:
    facts, enclosure = device.facts, device.facts.enclosure
    told = {
        "id": facts.id,
        "name": facts.name,
        "link": str(facts.link_kind),
        "engine": facts.engine,
        "driver": facts.driver,
    }
    if enclosure is not None:
        told |= {
            "enclosure": f"{enclosure.vendor_name} {enclosure.device_name}".strip(),
            "firmware": enclosure.firmware,
            "negotiated": str(enclosure.link),
        }
    return {name: text for name, text in told.items() if text}


def _faults(run: Run) -> tuple[str, ...]:
    # Those of a machine that runs already were named where it was started.
    return run.options.faults or run.bench.faults


def _time() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(slots=True)
class _Trouble:
    error: BaseException
    kind: str


class _Recorder:
    def __init__(self, run: Run, writer: Writer) -> None:
        self._run = run
        self._writer = writer
        self._began = time.time()
        self._attempts = Counter(run.options.resumed.cut_off if run.options.resumed else {})
        self._start: tuple[float, float | None] = (0.0, None)
        self._trouble: _Trouble | None = None
        self._reports: list[pytest.TestReport] = []
        self._attached: list[Attachment] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self._trouble, self._reports, self._attached = None, [], begin()
        self._attempts[item.nodeid] += 1
        self._writer.began(Began(began=item.nodeid, at=self._at(), epochs=self._run.epochs))
        self._start = time.time(), self._run.bench.machine_now()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._reports.append(report)
        if report.failed and call.excinfo is not None and self._trouble is None:
            error = _first(call.excinfo.value)
            kind = "failed" if isinstance(error, (AssertionError, pytest.fail.Exception)) else "broken"
            self._trouble = _Trouble(error, kind)
        if report.when == "teardown":
            self._writer.test(self._ended(item))
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        answer = yield  # the bench is closed by now, and has said how its faults acted
        struck: Counter[str] = Counter()
        for text, count in zip(_faults(self._run), self._run.bench.struck, strict=False):
            struck[text] += count
        self._writer.end(End(ended=_time(), exit=int(session.exitstatus), struck=dict(struck)))
        return answer

    def pytest_unconfigure(self) -> None:
        self._writer.close()

    def _ended(self, item: pytest.Item) -> Finished:
        error = self._trouble.error if self._trouble else None
        ours = error if isinstance(error, HilError) else None
        skipped = next((report for report in self._reports if report.skipped), None)
        outcome = self._trouble.kind if self._trouble else "passed"
        message = _paragraph(error) if error else ""
        if skipped is not None and error is None:
            outcome, message = "skipped", _reason(skipped)
        elif error is None and (worst := next((report for report in self._reports if report.failed), None)):
            outcome, message = "failed", str(worst.longrepr)  # a strict xfail that passed: there is no error
        device = item.callspec.params.get("device") if hasattr(item, "callspec") else None
        hook = item.config.hook
        return Finished(
            test=item.nodeid,
            device=device if isinstance(device, str) else None,
            outcome=outcome,
            error=type(error).__name__ if error else "",
            hop=ours.hop if ours else "",
            operation=(ours.operation or "") if ours else "",
            message=message,
            seconds=round(self._seconds(), 9),
            at=self._at(),
            markers=_markers(item),
            attempts=self._attempts[item.nodeid],
            evidence=bounded(self._attached, passed=outcome == "passed"),
            # Keywords say what the node id and the markers say.
            reports=tuple(
                {**hook.pytest_report_to_serializable(config=item.config, report=report), "keywords": {}}
                for report in self._reports
            ),
        )

    def _seconds(self) -> float:
        real, machine = self._start
        now = self._run.bench.machine_now() if machine is not None else None
        return time.time() - real if now is None or machine is None else now - machine

    def _at(self) -> float:
        return round(time.time() - self._began, 6)


def _first(error: BaseException) -> BaseException:
    # Several fixtures failed at once: the first tells most.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _paragraph(error: BaseException) -> str:
    return str(error).strip().partition("\n\n")[0] or type(error).__name__


def _reason(report: pytest.TestReport) -> str:
    expected: Any = getattr(report, "wasxfail", None)
    if expected is not None:
        return f"expected to fail: {expected}"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(text).removeprefix("Skipped: ")


def _markers(item: pytest.Item) -> tuple[str, ...]:
    names = [item.path.parent.name, *(marker.name for marker in item.iter_markers())]
    return tuple(dict.fromkeys(name for name in names if not name.startswith(_OWN_MARKERS)))
