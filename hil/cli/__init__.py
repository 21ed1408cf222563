"""The command ``hil``."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import click

import hil
from hil.errors import HilError, UsageError

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
USAGE, FAILED = 2, 1
"""Exit codes: what was asked for makes no sense; it made sense and failed. The table stands in docs/exit-codes.md."""


class _Commands(click.Group):
    """Our commands. A reader (head, less) that has seen enough is no failure, as click would have it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command to its last byte of output."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:
            _silence(sys.stdout, sys.stderr)
            ctx.exit(0)
        return result


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hil.__version__, prog_name="hil")
def group() -> None:
    """Hardware-in-the-loop tests for NVIDIA GPUs in Thunderbolt / USB4 enclosures."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error of ours is one clear message and an exit code, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files, and what devices and tests say, need not be UTF-8.
        sys.stdout.reconfigure(errors="replace")
    try:
        group.main(args=arguments, prog_name="hil")
    except UsageError as error:
        _complain(error, USAGE)
    except HilError as error:
        _complain(error, FAILED)
    except OSError as error:
        if error.filename is not None or error.errno not in _UNWRITABLE:
            raise
        _silence(sys.stdout)
        _complain(f"the output cannot be written: {error.strerror or error}", FAILED)


def _complain(error: HilError | str, code: int) -> None:
    click.echo(f"hil: {error}", err=True)
    sys.exit(code)


def _silence(*streams: TextIO | None) -> None:
    """Let what the interpreter still flushes at its end go nowhere: it would complain again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, streams):
        os.dup2(nowhere, stream.fileno())


def _bench(function: Any) -> Any:
    return click.option(
        "--bench",
        default="auto",
        show_default=True,
        envvar="HIL_BENCH",
        metavar="BENCH",
        help="auto, local, sim, sim:PROFILE, sim:FILE.toml, sim:/SOCKET, captured:FILE or a bench file (BENCH.toml)",
    )(function)


def _json(function: Any) -> Any:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")(function)


@group.command("list", short_help="Show what hangs on a bench, as a tree.")
@_bench
@_json
def list_command(bench: str, *, as_json: bool) -> None:
    """Show what hangs on a bench, as a tree: routers, enclosures, GPUs and their links."""
    from hil.cli.listing import show  # noqa: PLC0415  (a command pays only for its own imports)

    show(bench, as_json=as_json)


@group.command("capture", short_help="Record a bench, to report or replay it.")
@click.argument("file", type=click.Path(path_type=Path))
@_bench
@click.option("--keep-ids", is_flag=True, help="Keep serial numbers, unique ids, host and user names as they are.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there already.")
@_json
def capture_command(file: Path, bench: str, *, keep_ids: bool, force: bool, as_json: bool) -> None:
    """Record in FILE all that discovery reads on a bench, to attach it to a bug report or to replay it.

    With `--bench auto` that is this machine. Ids are replaced; `hil list --bench captured:FILE` shows the result.
    """
    from hil.cli.capture import record  # noqa: PLC0415

    record(file, bench, keep_ids=keep_ids, force=force, as_json=as_json)


@group.command("init", short_help="Write a bench file of what is attached.")
@click.argument("file", type=click.Path(path_type=Path), default=Path("bench.toml"))
@_bench
@click.option("--force", is_flag=True, help="Replace FILE if it is there already.")
@_json
def init_command(file: Path, bench: str, *, force: bool, as_json: bool) -> None:
    """Write a bench file, FILE (default: bench.toml), from what is attached now.

    With `--bench auto` that is this machine. Nothing destructive is allowed in it until you say so there.
    """
    from hil.cli.init import write  # noqa: PLC0415

    write(file, bench, force=force, as_json=as_json)


@group.command("doctor", short_help="Say what would keep a run from working.")
@_bench
@_json
def doctor_command(bench: str, *, as_json: bool) -> None:
    """Say what would keep a run on a bench from working, and what to do about it.

    The exit code is 1 if something must be done. With `--bench auto` this machine is looked at.
    """
    from hil.cli.doctor import diagnose  # noqa: PLC0415

    if not diagnose(bench, as_json=as_json):
        sys.exit(FAILED)


@group.command("profiles", short_help="Name the simulated machines.")
@_json
def profiles_command(*, as_json: bool) -> None:
    """Name the simulated machines that can be run on."""
    from hil.cli.profiles import show  # noqa: PLC0415

    show(as_json=as_json)


def _series(function: Any) -> Any:
    for decorate in reversed(
        (
            click.option(
                "--file", "path", type=click.Path(path_type=Path), help="History file (default: HIL_HISTORY, or yours)."
            ),
            click.option("--bench", help="Series of this bench only."),
            click.option("--device", help="Of this device id only."),
            click.option("--metric", help="Of this metric only: bandwidth, latency p50, …"),
            click.option("--direction", help="Of this direction only: H2D, D2H, D2D, …"),
            click.option("--size", "nbytes", type=int, help="Of copies of so many bytes only."),
            click.option("--simulated/--real", default=None, help="Of simulated, or of real benches only."),
        )
    ):
        function = decorate(function)
    return function


@group.group("history")
def history_group() -> None:
    """Figures of past nights, and what they say."""


@history_group.command("list", short_help="Show each series in a line.")
@_series
@_json
def history_list(path: Path | None, *, as_json: bool, **wanted: Any) -> None:
    """A line for every series: nights, last value, whether it is steady."""
    from hil.cli.history import list_series  # noqa: PLC0415

    list_series(path, wanted, as_json=as_json)


@history_group.command("show", short_help="Show nights, changes, and what came with them.")
@_series
@click.option("--nights", type=click.IntRange(1), help="How many of the last (default: 60; with --json all).")
@_json
def history_show(path: Path | None, *, nights: int | None, as_json: bool, **wanted: Any) -> None:
    """The nights of series, their changes, and what changed on the bench with them."""
    from hil.cli.history import show_series  # noqa: PLC0415

    show_series(path, wanted, nights=nights, as_json=as_json)


@history_group.command("accept", short_help="Let a change be the new normal.")
@_series
@click.option(
    "--since",
    required=True,
    metavar="NIGHT",
    help="First night of the new baseline, by the date on which it begins (at noon); or a moment: '2026-05-03 18:30'.",
)
@click.option("--reason", required=True, help="Why it is accepted; kept with it.")
@click.option("--all", "everything", is_flag=True, help="All series of the file, where none are chosen.")
@_json
def history_accept(
    path: Path | None, *, since: str, reason: str, everything: bool, as_json: bool, **wanted: Any
) -> None:
    """Accept a change: what came before --since is no reference any more."""
    from hil.cli.history import accept  # noqa: PLC0415

    accept(path, wanted, since=since, reason=reason, everything=everything, as_json=as_json)


@history_group.command("export", short_help="Write series as JSON lines.")
@click.argument("target", type=click.Path(path_type=Path), required=False)
@_series
@click.option("--force", is_flag=True, help="Replace TARGET if it is there already.")
def history_export(path: Path | None, target: Path | None, *, force: bool, **wanted: Any) -> None:
    """Write series as JSON lines to TARGET (default: standard output); TARGET.parquet makes a table."""
    from hil.cli.history import export  # noqa: PLC0415

    export(path, wanted, target, force=force)


def _file(function: Any) -> Any:
    return click.option("--file", "path", type=click.Path(path_type=Path), help="History file to add to.")(function)


@history_group.command("import", short_help="Add what export wrote.")
@click.argument("source", type=click.Path(path_type=Path))
@_file
@_json
def history_import(source: Path, path: Path | None, *, as_json: bool) -> None:
    """Add what `hil history export` wrote; nothing that is there is overwritten."""
    from hil.cli.history import import_lines  # noqa: PLC0415

    import_lines(path, source, as_json=as_json)


@history_group.command("merge", short_help="Add the points of another history file.")
@click.argument("source", type=click.Path(path_type=Path))
@_file
@_json
def history_merge(source: Path, path: Path | None, *, as_json: bool) -> None:
    """Add the points of another history file."""
    from hil.cli.history import merge_file  # noqa: PLC0415

    merge_file(path, source, as_json=as_json)


@group.command("report", short_help="Make the page of a night, or what Allure shows.")
@click.argument("records", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--history", type=click.Path(path_type=Path, dir_okay=False), help="History file (default: HIL_HISTORY, or yours)."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("hil-report"),
    show_default=True,
    help="Folder to write index.html into.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print at most 15 lines of Markdown; write no page.")
@click.option(
    "--allure",
    type=click.Path(path_type=Path),
    metavar="RESULTS",
    help="Build an Allure report of this folder, which `pytest --alluredir` wrote.",
)
@click.option(
    "--allure-history",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with what earlier Allure reports showed.  [default: allure-history.jsonl in the folder of --out]",
)
@click.option("--install", is_flag=True, help="Get Allure from the npm registry if it is not there.")
@_json
def report_command(
    records: tuple[Path, ...],
    history: Path | None,
    out: Path,
    *,
    allure: Path | None,
    allure_history: Path | None,
    install: bool,
    **how: bool,
) -> None:
    """Make the page that is opened in the morning, of RECORDS and the history.

    RECORDS are files that `pytest --hil-record FILE` wrote, or folders of such (*.jsonl). The page is one file, and
    needs no network. With --allure an Allure report is built instead, which takes Node 20 or later.
    """
    if allure is not None:
        if records or history is not None or how["as_markdown"]:
            raise UsageError("--allure builds a report of its results alone: leave out RECORDS, --history, --markdown")
        from hil.cli.allure import report as report_allure  # noqa: PLC0415

        report_allure(allure, out, allure_history, install=install, as_json=how["as_json"])
        return
    if allure_history is not None or install:
        raise UsageError("--allure-history and --install go with --allure RESULTS")
    if how["as_markdown"] and how["as_json"]:
        raise UsageError("--markdown and --json: only one of them can be printed, leave out the other")
    from hil.cli.report import report  # noqa: PLC0415

    report(records, history, out, **how)


@group.command("demo", short_help="Show a report of sixty simulated nights.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("hil-demo"),
    show_default=True,
    help="Folder for records, history and page.",
)
@click.option("--nights", type=click.IntRange(1), help="Only so many, the last.  [default: all 60]")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at once.  [default: one a core]")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def demo_command(out: Path, *, nights: int | None, jobs: int | None, show: bool) -> None:
    """Show what a report looks like: sixty simulated nights on three benches, in minutes.

    A driver update costs 4 % H2D on one bench, a cable fails on another, a re-plug is flaky on the third.
    """
    from hil.cli.demo import demonstrate  # noqa: PLC0415

    demonstrate(out, nights=nights, jobs=jobs, show=show)


@group.command("faults", short_help="Name the faults that can be injected.")
@_json
def faults_command(*, as_json: bool) -> None:
    """Name the faults that a simulated machine can be given, with their parameters.

    `pytest suites/ --hil-fault NAME:key=value,…` gives it one; `hil coverage` tries whether the suites catch them.
    """
    from hil.cli.faults import show  # noqa: PLC0415

    show(as_json=as_json)


@group.command("coverage", short_help="Score the suites against all those faults.")
@click.option(
    "--fault", "faults", multiple=True, metavar="FAULT", help="Only this one, as --hil-fault takes it; repeatable."
)
@click.option("--draws", type=click.IntRange(min=1), help="Draws a fault, from mild to severe.  [default: 20]")
@click.option("--profile", "profiles", multiple=True, metavar="NAME", help="On this machine; repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), help="Runs at once.  [default: one a core]")
@click.option("--budget", metavar="TIME", help="Begin nothing new after this time, such as 90s, 10m or 1h30m.")
@click.option("--limit", metavar="TIME", default="10m", show_default=True, help="Kill a run that takes longer.")
@click.option("--clean", type=click.IntRange(min=0), help="Runs of quick without a fault.  [default: 20]")
@click.option("--whole", type=click.IntRange(min=0), help="Whole runs without a fault.  [default: 1]")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Repeats the same draws.")
@click.option(
    "--json",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep every run in this file, and go on where it ends.",
)
@click.option("--afresh", is_flag=True, help="Begin anew, whatever the file holds.")
@click.option("--ci", is_flag=True, help="One draw a fault, against what an earlier measurement has caught.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The earlier measurement.  [default: the one that comes with hil]",
)
@click.option(
    "--from",
    "shown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Measure nothing: print what this file holds.",
)
@click.option(
    "--suites",
    type=click.Path(path_type=Path, file_okay=False),
    help="Suites of your own: a folder with driver/, transfer/, …  [default: those that come with hil]",
)
@click.option("--markdown", is_flag=True, help="Print the score as tables for a README.")
def coverage_command(**wish: Any) -> None:
    """Score the suites: which faults they catch, and what they take for a fault and is none.

    They are run on simulated machines only. Ctrl-C ends it in order; with --json the same command goes on later.
    The exit code is 1 if something is lost that the baseline has caught, or a machine without a fault raises an alarm.
    """
    from hil.cli.coverage.running import Wish, run  # noqa: PLC0415

    sys.exit(run(Wish(**wish)))
