"""What a run tells: header, labels on every result, evidence beside failures."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import sys
import traceback
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import hil
from hil.bench.bench import Bench
from hil.bench.device import Device
from hil.bench.messages import STDERR
from hil.errors import HilError
from hil.model import GIB, slug
from hil.plugin import summary
from hil.plugin.beside import results_folder
from hil.plugin.devices import NEEDS, NONE
from hil.plugin.replay import prepare
from hil.plugin.run import OUTCOME, Run, current, started
from hil.report import attach, label_markers, write_environment
from hil.report.executor import executor, write_executor

_OURS = re.compile(r"(hil|fixtures)\.")
_SHOWN = 10
"""Lines of a kind in the summary, and lines of a device process's output beside a failure."""


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which bench runs, why, and what hangs on it."""
    run = current(config)
    bench = run.bench
    host = bench.inventory.host
    lines = [
        f"hil {hil.__version__}: bench {bench.name} ({bench.nature}), because: {bench.reason}",
        f"  host: {host.model or host.hostname}, {host.system} {host.os_version}, {host.arch}".rstrip(", "),
    ]
    lines += [f"  device: {describe(device)}" for device in bench.devices] or ["  device: none"]
    if bench.faults:
        lines.append(f"  injected faults: {', '.join(bench.faults)}")
    lines += [f"  note: {note}" for note in [*bench.inventory.problems, *bench.notes]]
    summary.note_told(config, len(bench.notes))
    lines.append(f"  seed: {run.options.seed} (--hil-seed={run.options.seed} repeats this run)")
    return lines


def describe(device: Device) -> str:
    """One line on a device: alias, name, memory, enclosure and link."""
    facts = device.facts
    parts = [f"{facts.alias}: {facts.name}"]
    if facts.vram_bytes:
        parts.append(f"{facts.vram_bytes / GIB:.1f} GiB")
    if facts.enclosure is not None:
        parts.append(
            f"in {facts.enclosure.vendor_name} {facts.enclosure.device_name} ({facts.link_kind}, "
            f"{facts.enclosure.link})"
        )
    parts.append(f"engine {facts.engine or 'none'}")
    if device.quarantine:
        parts.append("QUARANTINED")
    return ", ".join(parts)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Label every test that uses a device: suite, bench, device, simulated or real, severity, what it is for.

    Raises:
        pytest.UsageError: a test needs what is not known.

    """
    bench = current(config).bench
    known = {device.alias: device for device in bench.devices}
    for item in items:
        for need in [need for marker in item.iter_markers("needs") for need in marker.args]:
            if need not in NEEDS:
                raise pytest.UsageError(
                    f"hil: {item.nodeid}: needs({need!r}) is not known; there are: {', '.join(sorted(NEEDS))}"
                )
        alias = item.callspec.params.get("device") if hasattr(item, "callspec") else None
        ours = (isinstance(alias, str) and alias in {NONE, *known}) or "hil_bench" in getattr(item, "fixturenames", ())
        if not isinstance(item, pytest.Function) or not ours:
            continue
        prepare(item)
        for kind, value in label_markers(_labels(item, bench, known.get(str(alias)))):
            item.add_marker(pytest.mark.allure_label(value, label_type=kind))
        text = inspect.getdoc(item.function)
        if text:
            # As it stands in the source, its indented paragraphs would be shown as code.
            item.add_marker(pytest.mark.allure_description(text))


def _labels(item: pytest.Function, bench: Bench, device: Device | None) -> dict[str, str]:
    labels = {
        "parentSuite": item.path.parent.name,
        "suite": item.path.stem.removeprefix("test_").replace("_", " "),
        "bench": bench.name,
        "hil": "simulated" if bench.simulated else "real",
        "tag": bench.nature,
    }
    if device is not None:
        facts = device.facts
        labels |= {
            "device": facts.alias,
            "deviceId": facts.id,
            "link": str(facts.link_kind),
            "engine": facts.engine or "none",
        }
    severity = item.get_closest_marker("severity")
    if severity is not None:
        labels["severity"] = str(severity.args[0])
    return labels


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how a test ended, for the health gate and the summary, and keep what a failure's processes said."""
    report = yield
    if call.when == "call":
        item.stash[OUTCOME] = report.outcome
    if report.skipped and isinstance(report.longrepr, tuple):
        summary.note_skip(item.config, str(report.longrepr[2]).removeprefix("Skipped: "))
    if report.failed and call.excinfo is not None:
        summary.note_trouble(item, call.excinfo)
        if isinstance(call.excinfo.value, HilError) and not _passes_through_a_suite(call.excinfo, item.config):
            report.longrepr = "".join(traceback.format_exception_only(call.excinfo.value)).rstrip()
        for title, text in _evidence(call.excinfo.value, item):
            attach(title, text)
            if title == STDERR:
                report.sections.append((title, _last_lines(text)))
    return report


def _passes_through_a_suite(caught: pytest.ExceptionInfo[BaseException], config: pytest.Config) -> bool:
    # Not where the health gate itself speaks: there is no line of a suite to show then, only other plugins' lines.
    for entry in caught.traceback:
        module = str(entry.frame.f_globals.get("__name__", ""))
        path = Path(str(entry.path))
        if path.is_relative_to(config.rootpath) and "site-packages" not in path.parts and not _OURS.match(module):
            return True
    return False


def _evidence(error: BaseException, item: pytest.Item) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, HilError):
            found = {**link.evidence, **found}
        link = link.__cause__ or link.__context__
    used = getattr(item, "funcargs", {}).get("device")
    if STDERR not in found and isinstance(used, Device) and (printed := used.stderr_text()):
        found[STDERR] = printed
    yield from found.items()


def _last_lines(text: str) -> str:
    lines = text.rstrip().split("\n")
    left_out = [f"[{len(lines) - _SHOWN} lines above these]"] if len(lines) > _SHOWN else []
    return "\n".join([*left_out, *(line[:200] for line in lines[-_SHOWN:])])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write beside Allure's results what runs: before the first test, so that a crash does not leave them bare."""
    pytest_sessionfinish(session)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write beside Allure's results what ran."""
    run, results = started(session.config), results_folder(session.config)
    if run is not None and results is not None:
        host = run.bench.inventory.host
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        write_environment(results, environment(run))
        write_executor(results, executor(os.environ, host=host.hostname or host.model, command=command))


def environment(run: Run) -> dict[str, str]:
    """What Allure shows beside the results."""
    host = run.bench.inventory.host
    facts = {
        "Bench": run.bench.name,
        "Simulated": "yes" if run.bench.simulated else "no",
        "Why": run.bench.reason,
        "Host": f"{host.model} {host.system} {host.os_version} {host.arch}".strip(),
        "hil": hil.__version__,
        "Seed": str(run.options.seed),
    }
    if run.bench.faults:
        facts["Injected faults"] = ", ".join(run.bench.faults)
    for device in run.bench.devices:
        facts[f"Device {slug(device.alias)}"] = describe(device)
    return facts
