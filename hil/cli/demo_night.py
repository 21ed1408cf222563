"""One night of one bench of the demonstration: a run of pytest in this process, on a machine that lives in it too.

A process makes many nights. What a night costs is then what its tests cost: nothing is imported twice, and no process
is started, neither for the machine nor (``--hil-inline``) for its devices.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from hil.bench.file import BenchFile, HostSection
from hil.cli.coverage import command
from hil.errors import BenchFault
from hil.history import Key, Point, open_history
from hil.sim.profile import Profile
from hil.sim.scenario import BenchEntry, Scenario, toml_text

BEGINS: Final = time(22, 30)
"""When a night's run begins, by the scenario."""
_RECORD, _HISTORY, _BENCH, _SOCKET = "record.jsonl", "history.db", "bench.toml", "m"


@dataclass(frozen=True, slots=True)
class Job:
    """One bench in one night."""

    bench: BenchEntry
    night: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a night left."""

    name: str
    """Of its record's file."""
    record: str
    """That file's lines."""
    points: tuple[tuple[Key, Point], ...]


def settle() -> None:
    """Make this process one for nights: what its environment chooses is not theirs, and Ctrl-C is its parent's."""
    kept = command.environment(os.environ)
    os.environ.clear()
    os.environ.update(kept)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(scenario: Scenario, job: Job) -> Kept:
    """Run the night.

    Raises:
        BenchFault: pytest did not come to its own end.

    """
    import pytest  # noqa: PLC0415  (after `settle`)

    told = io.StringIO()
    # Short: the path of the machine's socket lies below it.
    with tempfile.TemporaryDirectory(prefix="hil-demo-") as name:
        folder = Path(name)
        machine = scenario.machine(job.bench, job.night)
        with _serving(machine, scenario.faults_of(job.bench.name, job.night), folder / _SOCKET):
            _write_bench(folder, job, machine)
            with redirect_stdout(told), redirect_stderr(told):
                status = pytest.main(_arguments(scenario, job, folder), plugins=_words())
        # What is loaded by now stays: no later night looks through it for garbage.
        gc.freeze()
        if status not in (0, 1):
            last = (told.getvalue().strip().splitlines() or ["it said nothing"])[-1]
            raise BenchFault(f"night {job.night} of {job.bench.name}: pytest ended with {int(status)}: {last}")
        return _kept(scenario, job, folder)


@contextmanager
def _serving(profile: Profile, faults: tuple[str, ...], address: Path) -> Iterator[None]:
    from hil.sim.faults import choice  # noqa: PLC0415  (with all that a machine needs)
    from hil.sim.machine import Machine  # noqa: PLC0415
    from hil.sim.server import Server  # noqa: PLC0415

    server = Server(Machine(profile, lambda site: [choice.make(text, site) for text in faults]), address)
    serving = threading.Thread(target=server.serve, daemon=True)
    serving.start()
    try:
        yield
    finally:
        server.switch_off()
        serving.join()


def _words() -> list[ModuleType]:
    # Given as modules, they are not looked for among all that is installed, which takes as long as some tests.
    place = command.package("hil.fixtures")
    names = [] if place is None else [f"hil.fixtures.{module.name}" for module in pkgutil.iter_modules([str(place)])]
    return [importlib.import_module(name) for name in ("hil.plugin", *names)]


def _write_bench(folder: Path, job: Job, machine: Profile) -> None:
    host = HostSection(kind="simulated", address=str(folder / _SOCKET))
    bench = BenchFile(name=job.bench.name, host=host, allow=machine.allow, actuator=machine.actuator)
    (folder / _BENCH).write_text(toml_text(bench), encoding="utf-8")


def _arguments(scenario: Scenario, job: Job, folder: Path) -> list[str]:
    where = command.suites(None).folder
    return [
        # The collector runs when it is needed, not five times at the end of each night.
        *("-p", "no:cacheprovider", "-p", "no:unraisableexception", "--import-mode=importlib", "-q"),
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        *("-c", os.devnull, "--rootdir", str(where), "--confcutdir", str(where), "--basetemp", str(folder / "tmp")),
        *("--hil-bench", str(folder / _BENCH), "--hil-inline", "--hil-seed", str(1000 + job.night)),
        *("--hil-record", str(folder / _RECORD), "--hil-history", str(folder / _HISTORY)),
        *(part for alias in job.bench.devices for part in ("--hil-device", alias)),
        *(str(where / test) for test in scenario.tests_of(job.bench, job.night)),
    ]


def _kept(scenario: Scenario, job: Job, folder: Path) -> Kept:
    """What the run left, at the scenario's date."""
    begins = datetime.combine(scenario.date_of(job.night), BEGINS).astimezone()
    # Where its own files lay for a second tells nobody anything.
    lines = (folder / _RECORD).read_text(encoding="utf-8").replace(f"{folder}{os.sep}", "").splitlines()
    with open_history(folder / _HISTORY, must_exist=True) as history:
        points = [
            (replace(key, bench=job.bench.name), _dated_point(point, begins, scenario))
            for key in history.series()
            for point in history.points(key)
        ]
    return Kept(
        name=f"{begins:%Y-%m-%d}-{job.bench.name}.jsonl",
        record="".join(f"{_dated(line, begins, scenario, job)}\n" for line in lines),
        points=tuple(points),
    )


def _dated_point(point: Point, begins: datetime, scenario: Scenario) -> Point:
    lasting = {name: text for name, text in point.context.items() if name not in ("command", "seed", "commit")}
    return point._replace(time=begins.timestamp(), context={**lasting, "scenario": scenario.summary})


def _dated(line: str, begins: datetime, scenario: Scenario, job: Job) -> str:
    facts = json.loads(line)
    if "record" in facts:
        facts["started"] = begins.isoformat(timespec="milliseconds")
        facts["context"] = {**facts["context"], "scenario": scenario.summary}
        # A machine that runs already tells their names alone.
        facts["faults"] = list(scenario.faults_of(job.bench.name, job.night))
    elif "ended" in facts:
        facts["ended"] = (begins + timedelta(minutes=1)).isoformat(timespec="milliseconds")
    elif "test" in facts:
        # What they measured is enough here; the run's own reports tell of another day.
        facts["reports"] = [_measured(report) for report in facts["reports"][-1:]]
    return json.dumps(facts)


def _measured(report: Mapping[str, Any]) -> dict[str, Any]:
    return {"user_properties": report["user_properties"]}
