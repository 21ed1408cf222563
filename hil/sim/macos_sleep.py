"""How the simulated Mac sleeps: ``pmset``, the time of the last wake, and what its log says of it.

Source of the words: pmset(1). ``pmset sleepnow`` comes back before the Mac sleeps; without a wake that was scheduled
it sleeps until somebody presses a key, which nobody does here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hil.hosts.base import Completed

if TYPE_CHECKING:
    from hil.sim.machine import Machine

DROWSY_SECONDS = 1.0
"""From the command to the sleep."""
EPOCH = 1_763_812_800
"""Unix time at which every simulated machine is switched on."""
_EX_USAGE = 64


class MacSleep:
    """Sleep with a wake that ``pmset`` schedules."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._wake_at = math.inf

    def pmset(self, argv: Sequence[str]) -> Completed:
        """``pmset relative wake SECONDS`` and ``pmset sleepnow``."""
        clock = self._machine.clock
        match list(argv[1:]):
            case ["relative", "wake", seconds] if seconds.isdecimal():
                self._wake_at = clock.now() + float(seconds)
                return _ended(argv)
            case ["sleepnow"]:
                clock.at(DROWSY_SECONDS, self._fall_asleep)
                return _ended(argv, "Sleeping now...\n")
        return Completed(argv=tuple(argv), returncode=_EX_USAGE, stdout=b"", stderr=b"Usage: pmset <options>\n")

    def wake_time(self) -> str:
        """What ``sysctl kern.waketime`` says: of a Mac that has not slept since its boot, zeros."""
        woke = self._machine.absence.woke_at
        if not woke:
            return "{ sec = 0, usec = 0 } Thu Jan  1 00:00:00 1970"
        return f"{{ sec = {EPOCH + int(woke)}, usec = {int(woke % 1 * 1e6)} }}"

    def slept(self) -> None:
        """Say so."""
        self._machine.log("PMRD: System Sleep")

    def woke(self) -> None:
        """Say so."""
        self._machine.log("PMRD: System Wake (reason: rtc/Maintenance)")

    def _fall_asleep(self) -> None:
        absence, now = self._machine.absence, self._machine.clock.now()
        wake_at, self._wake_at = self._wake_at, math.inf
        if not absence.away:
            absence.sleep(max(wake_at - now, 0.0))


def _ended(argv: Sequence[str], said: str = "") -> Completed:
    return Completed(argv=tuple(argv), returncode=0, stdout=said.encode(), stderr=b"")
