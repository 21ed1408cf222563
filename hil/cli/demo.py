"""``hil demo``: simulated nights of a scenario, their records and history, and the page that shows them."""

from __future__ import annotations

import multiprocessing
import os
import webbrowser
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

import click

from hil.cli.demo_night import Job, Kept, run, settle
from hil.cli.report import gather, write
from hil.errors import BenchFault, UsageError
from hil.history import open_history
from hil.sim.scenario import Scenario, load

SCENARIO: Final = "demo"
MARK: Final = ".hil-demo"
"""File that tells a demonstration's folder from a lab's, whose records and history may have the same names."""
LIMIT: Final = 120.0
"""Real seconds without any night that comes to its end, after which they are given up; one takes about one."""


def demonstrate(out: Path, *, nights: int | None, jobs: int | None, show: bool) -> None:
    """Run the demonstration's nights and write records, history and page into the folder `out`.

    Args:
        out: folder; what an earlier demonstration left there is replaced.
        nights: only so many, the scenario's last; `None` = all.
        jobs: runs at once; `None` = one a core.
        show: open the page in a browser.

    Raises:
        UsageError: the folder cannot be written, or holds what no demonstration wrote.
        BenchFault: a night could not be run.

    """
    scenario = load(SCENARIO)
    first = max(1, scenario.nights - nights + 1) if nights else 1
    todo = [Job(bench, night) for night in range(first, scenario.nights + 1) for bench in scenario.bench]
    records, history = _cleared(out)
    with (
        open_history(history) as kept,
        click.progressbar(length=len(todo), label=f"{len(todo)} simulated runs") as bar,
    ):
        for night in _run_all(scenario, todo, jobs or os.cpu_count() or 1):
            (records / night.name).write_text(night.record, encoding="utf-8")
            kept.add(night.points)
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
    own = {MARK, "records", "index.html", *(f"history.db{end}" for end in ("", "-wal", "-shm"))}
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in out.iterdir()}
        if others := sorted(there - own if MARK in there else there):
            raise UsageError(f"--out {out}: holds {others[0]}, which no demonstration wrote; name a new folder")
        (out / MARK).write_text("`hil demo` wrote this folder, and replaces what it holds.\n", encoding="utf-8")
        records.mkdir(exist_ok=True)
        for path in [*records.glob("*.jsonl"), *out.glob("history.db*")]:
            path.unlink()
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from error
    return records, history


def _run_all(scenario: Scenario, todo: Sequence[Job], jobs: int) -> Iterator[Kept]:
    """Run `todo`, `jobs` at once, in processes that make one night after the other."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(todo)), mp_context=fresh, initializer=settle) as pool:
        left = {pool.submit(run, scenario, job) for job in todo}
        try:
            while left:
                done, left = _some(left)
                yield from (one.result() for one in done)
        except BrokenProcessPool as error:
            raise BenchFault(f"a process that makes nights has died: {error}", operation="hil demo") from error
        except BaseException:
            # Nights that have begun come to their end within seconds.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _some(left: set[Future[Kept]]) -> tuple[set[Future[Kept]], set[Future[Kept]]]:
    done, others = wait(left, LIMIT, FIRST_COMPLETED)
    if not done:
        for process in multiprocessing.active_children():
            process.kill()
        raise BenchFault(f"no night has come to its end for {LIMIT:g} s", operation="hil demo")
    return done, others
