"""How the simulated Linux sleeps: ``rtcwake``, ``/sys/power``, and what the kernel logs of it.

Formats: util-linux's rtcwake(8); the kernel's kernel/power/main.c and suspend.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hil.hosts.base import Completed
from hil.sim.tree import File

if TYPE_CHECKING:
    from hil.sim.machine import Machine

COMMAND_SECONDS = 0.9
"""That the command takes beside the sleep: tasks are frozen, and thawed again."""
_USAGE = "rtcwake: bad usage\nTry 'rtcwake --help' for more information.\n"


class LinuxSleep:
    """Suspend to RAM with a wake by the real-time clock."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def boot(self) -> None:
        """The files of power management."""
        tree = self._machine.tree
        tree.add("/sys/power/state", "freeze mem\n")
        tree.add("/sys/power/mem_sleep", "s2idle [deep]\n")
        tree.add("/sys/power/suspend_stats/success", File(self._count))
        tree.add("/sys/power/suspend_stats/fail", "0\n")
        host = self._machine.profile.host
        if host.driver_version:
            kept = int(host.preserve_video_memory)
            tree.add("/proc/driver/nvidia/params", f"PreserveVideoMemoryAllocations: {kept}\n")

    def _count(self) -> bytes:
        return f"{self._machine.absence.sleeps}\n".encode()

    def slept(self) -> None:
        """Say so."""
        for line in ("PM: suspend entry (deep)", "Freezing user space processes", "ACPI: PM: Preparing to enter S3"):
            self._machine.log(line)

    def woke(self) -> None:
        """Say so."""
        for line in ("ACPI: PM: Waking up from system sleep state S3", "Restarting tasks: Done", "PM: suspend exit"):
            self._machine.log(line)

    def run(self, argv: Sequence[str]) -> tuple[Completed, float] | None:
        """``rtcwake -m mem -s SECONDS``: comes back after the wake."""
        if not argv or argv[0].rsplit("/", 1)[-1] != "rtcwake":
            return None
        given = dict(zip(argv[1::2], argv[2::2], strict=False))
        mode = given.get("-m") or given.get("--mode")
        seconds = given.get("-s") or given.get("--seconds") or ""
        if len(argv) != 5 or mode != "mem" or not seconds.isdecimal():  # noqa: PLR2004  (the command, two options)
            return _ended(argv, error=_USAGE, code=1), 0.01
        plan = self._machine.absence.sleep(float(seconds))
        said = 'rtcwake: assuming RTC uses UTC ...\nrtcwake: wakeup from "mem" using /dev/rtc0\n'
        return _ended(argv, said), COMMAND_SECONDS + plan.seconds + plan.resume_seconds


def _ended(argv: Sequence[str], said: str = "", *, error: str = "", code: int = 0) -> Completed:
    return Completed(argv=tuple(argv), returncode=code, stdout=said.encode(), stderr=error.encode())
