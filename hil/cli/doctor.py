"""``hil doctor``: what would keep a run from working, and what to do about it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import click

from hil.bench.offers import ask, engine_names
from hil.bench.preflight import Finding, Level, Scene, examine
from hil.bench.process import DeviceProcess
from hil.cli.target import Target, opened
from hil.discovery import discover
from hil.hosts.base import Completed, Host
from hil.hosts.local import LocalHost
from hil.hosts.selection import parse

_COLOURS = {Level.OK: "green", Level.ADVICE: "yellow", Level.MUST: "red"}


class Witness:
    """A host that remembers which commands were killed at their deadline; else it is the host that it was given."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.timed_out: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        """As `Host.run`."""
        done = self._host.run(argv, timeout=timeout)
        if done.timed_out:
            self.timed_out.append(" ".join(argv))
        return done


def diagnose(bench: str, *, as_json: bool) -> bool:
    """Check the bench named `bench` and print what was found.

    Returns:
        Whether a run can be started: nothing has to be done first.

    Raises:
        UsageError: there is no such bench.
        BenchFault: it cannot be looked at.

    """
    with opened(parse(bench)) as target:
        findings = examine(look(target))
        facts = {
            "bench": str(target.selection),
            "simulated": target.simulated,
            "ok": not any(finding.level is Level.MUST for finding in findings),
            "findings": [
                {"check": f.check, "level": f.level.value, "sentence": f.sentence, "todo": f.todo} for f in findings
            ],
        }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _tell(str(facts["bench"]), findings)
    return bool(facts["ok"])


def look(target: Target) -> Scene:
    """Everything that the checks look at, gathered."""
    # A wedged host answers discovery's commands with silence: that is a finding, not the end.
    witness = Witness(target.host)
    host = cast("Host", witness)
    inventory = discover(host)
    offers, problems = _offers(target) if inventory.gpus and target.spec["kind"] != "captured" else ({}, [])
    scratch = Path(tempfile.gettempdir())
    return Scene(
        host=host,
        inventory=inventory,
        here=LocalHost(),
        packages=installed(),
        python=sys.version_info[:3],
        project=Path.cwd(),
        scratch=scratch,
        scratch_free=shutil.disk_usage(scratch).free,
        lock_folder=target.lock_folder,
        file=target.file,
        offers=offers,
        offer_problems=problems,
        timed_out=witness.timed_out,
    )


def installed() -> dict[str, str]:
    """Python distributions of this environment: name in lower case with dashes → version."""
    return {
        re.sub(r"[-_.]+", "-", name).lower(): distribution.version
        for distribution in metadata.distributions()
        if (name := distribution.metadata["Name"])  # a half-removed package has none
    }


def _offers(target: Target) -> tuple[dict[str, list[Any]], list[str]]:
    with tempfile.TemporaryDirectory(prefix="hil-doctor-") as folder:
        return ask(
            engine_names(simulated=target.simulated),
            lambda name: DeviceProcess.start(name, target.spec, folder=Path(folder), simulated=target.simulated),
        )


def _tell(bench: str, findings: Sequence[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = click.style(f"{finding.level.value:6}", fg=_COLOURS[finding.level])
        click.echo(f"{level}  {finding.check:{width}}  {finding.sentence}")
        if finding.todo:
            click.echo(f"{'':6}  {'':{width}}  → {finding.todo}")
    counts = Counter(finding.level for finding in findings)
    told = f"{len(findings)} findings on bench {bench}: {counts[Level.OK]} ok, {counts[Level.ADVICE]} advice"
    must = counts[Level.MUST]
    click.echo(f"{told}, {must} must be done before tests can run" if must else f"{told}; nothing must be done")
