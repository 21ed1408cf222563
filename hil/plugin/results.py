"""What a run tells: header, labels on every result, Allure's files, the summary at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import hil
from hil.bench.bench import Bench
from hil.bench.device import Device
from hil.model import GIB, slug
from hil.plugin.replay import prepare
from hil.plugin.run import Run, current, engaged, started
from hil.report import label_markers, write_environment

_OUTCOME: pytest.StashKey[str] = pytest.StashKey()
_SKIPS: pytest.StashKey[Counter[str]] = pytest.StashKey()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which bench runs, why, and what hangs on it."""
    if not engaged(config):
        return []
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
    """Label every test that uses a device: suite, bench, device, simulated or real, severity."""
    run = started(config)
    if run is None:
        return
    for item in items:
        if not isinstance(item, pytest.Function) or "device" not in item.fixturenames:
            continue
        prepare(item)
        labels = {
            "parentSuite": item.path.parent.name,
            "suite": item.path.stem.removeprefix("test_").replace("_", " "),
            "bench": run.bench.name,
            "hil": "simulated" if run.bench.simulated else "real",
            "tag": run.bench.nature,
            **_device_labels(run.bench, item),
        }
        severity = item.get_closest_marker("severity")
        if severity is not None:
            labels["severity"] = str(severity.args[0])
        for kind, value in label_markers(labels):
            item.add_marker(pytest.mark.allure_label(value, label_type=kind))


def _device_labels(bench: Bench, item: pytest.Function) -> dict[str, str]:
    alias = item.callspec.params.get("device") if hasattr(item, "callspec") else None
    if not isinstance(alias, str) or alias == "none":
        return {}
    facts = bench.device(alias).facts
    return {
        "device": alias,
        "deviceId": facts.id,
        "link": str(facts.link_kind),
        "engine": facts.engine or "none",
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how the test itself ended, for the health gate behind it, and why tests were skipped."""
    report = yield
    if call.when == "call":
        item.stash[_OUTCOME] = report.outcome
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        item.config.stash.setdefault(_SKIPS, Counter())[reason] += 1
    return report


def outcome(item: pytest.Item) -> str:
    """How the test itself ended: ``passed``, ``failed``, ``skipped``; empty if it did not run."""
    return item.stash.get(_OUTCOME, "")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The run in a few lines, for whoever reads this at nine in the morning."""
    run = started(config)
    if run is None:
        return
    results = _results_folder(config)
    if results is not None:
        write_environment(results, environment(run))
    write = terminalreporter.write_line
    terminalreporter.section("hil")
    write(
        f"bench     {run.bench.name} ({run.bench.nature}): {', '.join(d.alias for d in run.bench.devices) or 'no device'}"
    )
    for name, title in (("failed", "failed"), ("error", "broken")):
        for report in terminalreporter.stats.get(name, [])[:10]:
            write(f"{title:9} {report.nodeid}: {_first_line(report)}")
    for reason, count in config.stash.get(_SKIPS, Counter()).most_common(5):
        write(f"skipped   {count} × {reason}")
    for device in run.bench.devices:
        if device.quarantine:
            write(f"quarantine {device.alias}: {device.quarantine}")
    for complaint in run.complaints:
        write(f"NOT RESTORED {complaint}")
    if results is not None:
        write(f"report    Allure results in {results}")


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


def _first_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return str(text).split("\n", 1)[0][:200]


def _results_folder(config: pytest.Config) -> Path | None:
    folder = config.getoption("allure_report_dir", default=None)
    return Path(folder) if folder else None
