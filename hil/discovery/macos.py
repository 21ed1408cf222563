"""Discovery on macOS: what `system_profiler` and `ioreg` say, each under a deadline, each dispensable.

A helper that a removed device left wedged makes both commands hang: whichever does not answer is a problem,
and the other still counts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hil.discovery import join, macos_ioreg, macos_pci, macos_thunderbolt
from hil.discovery.source import Contribution
from hil.errors import HilError
from hil.model import RouterRole
from hil.model.links import UNKNOWN_LANES

if TYPE_CHECKING:
    from hil.hosts.base import Host
    from hil.model import LaneLink, Router

DEADLINE = 20.0
"""Seconds a command may take; both need less than 2 s on a healthy Mac."""
PROFILER = ("system_profiler", "-json", "SPThunderboltDataType", "SPPCIDataType")
REGISTRY = ("ioreg", "-a", "-l", "-c", "IOPCIDevice")
PORTS = ("ioreg", "-a", "-r", "-l", "-c", "IOThunderboltPort")
PORTS_DEADLINE = 5.0
"""Seconds that reading the ports alone may take: a few dozen entries, where the whole registry has thousands."""


def discover(host: Host) -> Contribution | None:
    """What macOS on `host` tells, reading only; `None` when it is no Mac."""
    if host.facts().system != "Darwin":
        return None
    problems: list[str] = []
    document = _document(_output(host, PROFILER, problems), problems)
    entries = _entries(_output(host, REGISTRY, problems), problems)
    domains, routers = macos_thunderbolt.read(document, entries, problems)
    known = {router.uid for router in routers if router.role is RouterRole.ENCLOSURE}
    functions = macos_pci.united(
        macos_pci.from_registry(entries, known, problems),
        macos_pci.from_profiler(document, problems),
        problems,
    )
    joined = join.by_endpoint(functions, routers)
    return Contribution(
        domains=domains,
        routers=routers,
        functions=joined.functions,
        enclosure_of=joined.enclosure_of,
        unjoined=joined.unjoined,
        looked_at=(" ".join(PROFILER), " ".join(REGISTRY)),
        problems=tuple(problems),
    )


def link_of(host: Host, enclosure: Router) -> LaneLink:
    """The upstream link of `enclosure` alone, for whoever asks often; unknown where the registry does not tell."""
    try:
        done = host.run(PORTS, timeout=PORTS_DEADLINE)
        entries = macos_ioreg.parse(done.stdout)
    except (OSError, HilError, ValueError):
        return UNKNOWN_LANES
    return macos_thunderbolt.lanes(entries).get(enclosure.uid, UNKNOWN_LANES)


def _output(host: Host, argv: tuple[str, ...], problems: list[str]) -> bytes:
    """What `argv` printed; empty when there is nothing to be had of it."""
    command = " ".join(argv)
    try:
        done = host.run(argv, timeout=DEADLINE)
    except (OSError, HilError) as error:
        problems.append(f"{command}: could not be run: {error}.")
        return b""
    if done.timed_out:
        problems.append(f"{command}: did not end within {DEADLINE:g} s and was killed; a driver may be wedged.")
        return b""
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        problems.append(f"{command}: exit status {done.returncode}{': ' + said[-1] if said else ''}.")
    elif not done.stdout.strip():
        problems.append(f"{command}: printed nothing.")
    return done.stdout


def _document(output: bytes, problems: list[str]) -> dict[str, Any]:
    if not output.strip():
        return {}
    try:
        document = json.loads(output)
    except (ValueError, RecursionError) as error:
        problems.append(f"{' '.join(PROFILER)}: printed no whole JSON: {error}.")
        return {}
    if not isinstance(document, dict):
        problems.append(f"{' '.join(PROFILER)}: printed JSON that is no object.")
        return {}
    return document


def _entries(output: bytes, problems: list[str]) -> list[macos_ioreg.Entry]:
    if not output.strip():
        return []
    try:
        return macos_ioreg.parse(output)
    except ValueError as error:
        problems.append(f"{' '.join(REGISTRY)}: printed {error}.")
        return []
