"""What the host keeps of its devices: nodes and processes of their drivers, to see whether something stays behind."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hil.errors import NotSupported

if TYPE_CHECKING:
    from hil.bench.worker import Context

FOLDERS: Final = {
    "/sys/bus/pci/devices": "",
    "/sys/bus/thunderbolt/devices": "",
    "/sys/bus/usb/devices": "",
    "/dev": r"nvidia|dri$",
    "/dev/dri": "",
    "/proc/driver/nvidia/gpus": "",
}
"""Folders in which drivers keep a node for each device, and a pattern of the names that count."""
DRIVER_PROCESSES: Final = re.compile(r"tinygpu|nvidia|egpu", re.IGNORECASE)
"""Processes of drivers: TinyGPU's server and extension on macOS, NVIDIA's daemons on Linux."""


def nodes(context: Context) -> dict[str, list[str]]:
    """Names by folder, sorted; folders that this host has not are left out."""
    found: dict[str, list[str]] = {}
    for folder, pattern in FOLDERS.items():
        with suppress(OSError):
            found[folder] = sorted(name for name in context.host.list(folder) if re.match(pattern, name))
    return found


def driver_processes(context: Context) -> list[str]:
    """Programs of the drivers' processes on the host, each as often as it runs, sorted."""
    commands = [process.command for process in context.host.processes() if process.command]
    programs = [command.split()[0].rpartition("/")[2] for command in commands]
    return sorted(program for program in programs if DRIVER_PROCESSES.search(program))


def events_begin(context: Context, *, subsystems: list[str]) -> None:
    """Listen from now on to what the host announces; raises `NotSupported` where it announces nothing."""
    events_end(context)
    context.state["events"] = context.host.watch(subsystems)


def events_until(context: Context, *, wanted: list[list[str]], within: float) -> dict[str, Any]:
    """Wait until all of `wanted` was announced.

    Args:
        context: of this process.
        wanted: action, subsystem and name of the node each.
        within: seconds of the host's clock.

    Returns:
        ``seen``, all that was announced so far in the same form, in order; ``missing`` of `wanted`; ``seconds``.

    """
    stream: Any = context.state["events"]
    seen: list[list[str]] = []
    missing = [list(one) for one in wanted]
    clock = context.host.clock
    start = clock.now()
    while (left := start + within - clock.now()) >= 0:
        # What is there already is taken at once, so that what was announced beside the wanted is seen too.
        event = stream.next(left if missing else 0.0)
        if event is None:
            break
        seen.append([event.action, event.subsystem, event.path.rpartition("/")[2]])
        missing = [one for one in missing if one != seen[-1]]
    return {"seen": seen, "missing": missing, "seconds": clock.now() - start}


def events_end(context: Context) -> None:
    """Listen no longer."""
    stream: Any = context.state.pop("events", None)
    if stream is not None:
        stream.close()


def cannot_listen(context: Context) -> str:
    """Why this host announces nothing of what comes and goes; empty if it does."""
    try:
        context.host.watch(["pci"]).close()
    except NotSupported as error:
        return str(error)
    return ""
