"""Who the local machine is, and what runs on it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING

from hil.hosts.base import Completed, Process
from hil.model import HostFacts

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[[list[str], float], Completed]
"""Runs a command with a timeout in seconds."""

_TIMEOUT = 10.0
"""Seconds for one of the small commands below, each of which takes milliseconds on a sound Mac."""


def linux_facts(root: Path) -> HostFacts:
    """Facts from ``/sys`` and ``/proc`` below `root`; what is not there stays empty."""
    model = _text(root / "sys/class/dmi/id/product_name") or _text(root / "proc/device-tree/model")
    return HostFacts(
        system="Linux",
        arch=platform.machine(),
        model=model,
        os_version=_text(root / "proc/sys/kernel/osrelease"),
        hostname=_text(root / "proc/sys/kernel/hostname") or platform.node(),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
    )


def mac_facts(run: Run) -> HostFacts:
    """Facts as ``sysctl`` and ``sw_vers`` tell them; what they do not tell stays empty."""
    return HostFacts(
        system="Darwin",
        arch=platform.machine(),
        model=_answer(run, ["sysctl", "-n", "hw.model"]),
        os_version=_answer(run, ["sw_vers", "-productVersion"]),
        hostname=platform.node(),
        boot_id=_answer(run, ["sysctl", "-n", "kern.bootsessionuuid"]),
    )


def linux_processes(proc: Path) -> list[Process]:
    """Processes in the folder `proc`, by pid; kernel threads, which have no command line, as ``[name]``."""
    found = []
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        try:
            words = (proc / str(pid) / "cmdline").read_bytes()
            name = (proc / str(pid) / "comm").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it ended meanwhile, or hides
            continue
        command = words.replace(b"\0", b" ").strip() or b"[" + name.strip() + b"]"
        found.append(Process(pid=pid, command=command.decode("utf-8", "replace")))
    return found


def mac_processes(run: Run) -> list[Process]:
    """Processes as ``ps`` lists them."""
    lines = run(["ps", "-axo", "pid=,command="], _TIMEOUT).stdout.decode("utf-8", "replace").splitlines()
    split = (line.split(None, 1) for line in lines)
    return [Process(pid=int(words[0]), command=words[1].rstrip()) for words in split if len(words) == 2]  # noqa: PLR2004


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _answer(run: Run, argv: list[str]) -> str:
    try:
        done = run(argv, _TIMEOUT)
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
