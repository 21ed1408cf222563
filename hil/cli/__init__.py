"""The command ``hil``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import hil
from hil.errors import HilError, UsageError

USAGE, FAILED = 2, 1
"""Exit codes: what was asked for makes no sense; it made sense and failed. The table stands in docs/exit-codes.md."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hil.__version__, prog_name="hil")
def group() -> None:
    """Hardware-in-the-loop tests for NVIDIA GPUs in Thunderbolt / USB4 enclosures."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error of ours is one clear message and an exit code, never a traceback."""
    try:
        group.main(args=arguments, prog_name="hil")
    except UsageError as error:
        _complain(error, USAGE)
    except HilError as error:
        _complain(error, FAILED)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; let the interpreter's own flush at exit stay quiet too.
        sys.stdout = None


def _complain(error: HilError, code: int) -> None:
    click.echo(f"hil: {error}", err=True)
    sys.exit(code)


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


@group.command("list")
@_bench
@_json
def list_command(bench: str, *, as_json: bool) -> None:
    """Show what hangs on a bench, as a tree: routers, enclosures, GPUs and their links."""
    from hil.cli.listing import show  # noqa: PLC0415  (a command pays only for its own imports)

    show(bench, as_json=as_json)


@group.command("capture")
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


@group.command("init")
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


@group.command("doctor")
@_bench
@_json
def doctor_command(bench: str, *, as_json: bool) -> None:
    """Say what would keep a run on a bench from working, and what to do about it.

    The exit code is 1 if something must be done. With `--bench auto` this machine is looked at.
    """
    from hil.cli.doctor import diagnose  # noqa: PLC0415

    if not diagnose(bench, as_json=as_json):
        sys.exit(FAILED)


@group.command("profiles")
@_json
def profiles_command(*, as_json: bool) -> None:
    """Name the simulated machines that can be run on."""
    from hil.cli.profiles import show  # noqa: PLC0415

    show(as_json=as_json)
