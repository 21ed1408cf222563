"""``hil demo``: simulated nights of a scenario, their records and history, and the page that shows them."""

from __future__ import annotations

import json
import os
import pkgutil
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import click

from hil.bench.file import BenchFile, HostSection
from hil.cli.coverage.command import package, suites
from hil.cli.coverage.crew import Crew, Ended
from hil.cli.report import gather, write
from hil.errors import BenchFault, UsageError
from hil.history import open_history
from hil.sim.scenario import BenchEntry, Scenario, load, toml_text

SCENARIO: Final = "demo"
LIMIT: Final = 120.0
"""Real seconds after which a night's run is killed; it takes about one."""
BEGINS: Final = time(22, 30)
"""When a night's run begins, by the scenario."""
RECORD, NIGHT_HISTORY, PROFILE, BENCH = "record.jsonl", "history.db", "machine.toml", "bench.toml"


@dataclass(frozen=True, slots=True)
class Job:
    """One bench in one night."""

    bench: BenchEntry
    night: int


def demonstrate(out: Path, *, nights: int | None, jobs: int | None, show: bool) -> None:
    """Run the demonstration's nights and write records, history and page into the folder `out`.

    Args:
        out: folder; what an earlier demonstration left there is replaced.
        nights: only so many, the scenario's last; `None` = all.
        jobs: runs at once; `None` = one a core.
        show: open the page in a browser.

    Raises:
        UsageError: the folder cannot be written, or holds something else.
        BenchFault: a night could not be run.

    """
    scenario = load(SCENARIO)
    first = max(1, scenario.nights - nights + 1) if nights else 1
    todo = [Job(bench, night) for night in range(first, scenario.nights + 1) for bench in scenario.bench]
    records, history = _cleared(out)
    with click.progressbar(length=len(todo), label=f"{len(todo)} simulated runs") as bar:
        for job, ended in _run_all(scenario, todo, jobs or os.cpu_count() or 1):
            _keep(scenario, job, ended.folder, records, history)
            bar.update(1)
    page = write(gather([records], history), out)
    click.echo(f"records    {records}")
    click.echo(f"history    {history}")
    click.echo(f"page       {page}")
    if show:
        webbrowser.open(page.resolve().as_uri())


def _cleared(out: Path) -> tuple[Path, Path]:
    """Folder for records and path of the history, without what an earlier demonstration left."""
    records, history = out / "records", out / "history.db"
    known = {"records", "index.html", *(f"history.db{end}" for end in ("", "-wal", "-shm"))}
    try:
        others = sorted(path.name for path in out.iterdir() if path.name not in known) if out.exists() else []
        if others:
            raise UsageError(f"--out {out}: holds {others[0]}, which no demonstration wrote; name a new folder")
        records.mkdir(parents=True, exist_ok=True)
        for path in [*records.glob("*.jsonl"), *out.glob("history.db*")]:
            path.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from error
    return records, history


def _run_all(scenario: Scenario, todo: Sequence[Job], jobs: int) -> Iterator[tuple[Job, Ended]]:
    """Run `todo`, `jobs` at once; what a run left is gone after the next one was asked for."""
    left = list(reversed(todo))
    running: dict[int, Job] = {}
    with Crew(jobs, limit=LIMIT) as crew:
        while left or running:
            while left and crew.idle:
                job = left.pop()
                folder = crew.folder()
                running[crew.start(_arguments(scenario, job, folder), folder)] = job
            for ended in crew.wait(1.0):
                job = running.pop(ended.ticket)
                if ended.status not in (0, 1):
                    lines = ended.output.strip().splitlines() or ["it said nothing"]
                    raise BenchFault(
                        f"night {job.night} of {job.bench.name}: pytest ended with {ended.status}: {lines[-1]}",
                        operation="hil demo",
                    )
                yield job, ended
                crew.forget(ended)


def _arguments(scenario: Scenario, job: Job, folder: Path) -> list[str]:
    machine = scenario.machine(job.bench, job.night)
    (folder / PROFILE).write_text(toml_text(machine), encoding="utf-8")
    bench = BenchFile(
        name=job.bench.name,
        host=HostSection(kind="simulated", profile=PROFILE),
        allow=machine.allow,
        actuator=machine.actuator,
    )
    (folder / BENCH).write_text(toml_text(bench), encoding="utf-8")
    where = suites(None)
    words = package("hil.fixtures")
    names = [] if words is None else [f"hil.fixtures.{module.name}" for module in pkgutil.iter_modules([str(words)])]
    root = str(where.folder)
    return [
        *("-p", "hil", *(part for name in names for part in ("-p", name))),
        *("-p", "no:cacheprovider", "--import-mode=importlib", "-q"),
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        *("-c", os.devnull, "--rootdir", root, "--confcutdir", root),
        *("--hil-bench", str(folder / BENCH), "--hil-inline", "--hil-seed", str(1000 + job.night)),
        *("--hil-record", str(folder / RECORD), "--hil-history", str(folder / NIGHT_HISTORY)),
        *(part for alias in job.bench.devices for part in ("--hil-device", alias)),
        *(part for fault in scenario.faults_of(job.bench.name, job.night) for part in ("--hil-fault", fault)),
        *(str(where.folder / test) for test in scenario.tests_of(job.night)),
    ]


def _keep(scenario: Scenario, job: Job, folder: Path, records: Path, history: Path) -> None:
    """Put what a run left to the others, at the scenario's date."""
    begins = datetime.combine(scenario.date_of(job.night), BEGINS).astimezone()
    name = f"{begins:%Y-%m-%d}-{job.bench.name}.jsonl"
    # Where its own files lay for a second tells nobody anything.
    lines = (folder / RECORD).read_text(encoding="utf-8").replace(f"{folder}{os.sep}", "").splitlines()
    (records / name).write_text("".join(f"{_dated(line, begins, scenario)}\n" for line in lines), encoding="utf-8")
    with open_history(folder / NIGHT_HISTORY, must_exist=True) as tonight, open_history(history) as all_nights:
        for key in tonight.series():
            context = {"scenario": scenario.summary}
            points = [
                replace(point, time=begins.timestamp(), context={**_lasting(point.context), **context})
                for point in tonight.points(key)
            ]
            all_nights.add((replace(key, bench=job.bench.name), point) for point in points)


def _lasting(context: Any) -> dict[str, str]:
    return {name: text for name, text in context.items() if name not in ("command", "seed", "commit")}


def _dated(line: str, begins: datetime, scenario: Scenario) -> str:
    facts = json.loads(line)
    if "record" in facts:
        facts["started"] = begins.isoformat(timespec="milliseconds")
        facts["context"] = {**facts["context"], "scenario": scenario.summary}
    elif "ended" in facts:
        facts["ended"] = (begins + timedelta(minutes=1)).isoformat(timespec="milliseconds")
    elif "test" in facts:
        # What they measured is enough here; the run's own reports tell of another day.
        facts["reports"] = [{"user_properties": report["user_properties"]} for report in facts["reports"][-1:]]
    return json.dumps(facts)
