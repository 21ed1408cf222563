"""The serial ports of a simulated machine: behind each hangs an MCCI 3141 switch, and on that an enclosure's cable.

There is a port for every actuator of kind ``mcci`` in the profile, at the path that its option ``serial`` names. The
switch takes lines: ``port N`` connects its port N (0 = none), ``port`` tells which is connected, ``superspeed 0``
leaves the fast lanes out of the next connection, and a USB4 link is nothing but fast lanes. What exactly it prints is
not published; here every answer is one line that ends with the value.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from hil.hosts.bench_sections import ActuatorEntry
from hil.sim.machine import Machine
from hil.sim.parts import SimEnclosure
from hil.sim.tree import File

Reply = tuple[dict[str, Any], bytes, float]
COMMAND_SECONDS = 0.004
"""Until the switch has taken a line and answered."""
LONGEST = 128
"""Bytes of a line; what is longer is forgotten."""


def paths(machine: Machine) -> dict[str, ActuatorEntry]:
    """Serial ports of the machine: path → the actuator behind it."""
    pattern = "/dev/ttyACM{}" if machine.profile.host.system == "Linux" else "/dev/cu.usbmodem{}"
    switches = [entry for entry in machine.profile.actuator if entry.kind == "mcci"]
    return {str(entry.options.get("serial") or pattern.format(n)): entry for n, entry in enumerate(switches)}


class Switch:
    """One MCCI 3141."""

    def __init__(self, machine: Machine, enclosure: SimEnclosure | None, port: int) -> None:
        self._machine = machine
        self._enclosure = enclosure
        self._port = port
        self._connected = port
        self._superspeed = 1
        self._line = b""
        self._said = b""
        self._commands: dict[str, Callable[[str], str]] = {
            "version": lambda _: "version 0106",
            "port": self._switch,
            "superspeed": self._choose,
            "status": lambda _: f"port {self._connected} superspeed {self._superspeed}",
            "volts": lambda _: "volts 5.02",
            "amps": lambda _: "amps 0.31",
        }

    def take(self, data: bytes) -> None:
        """What a client wrote."""
        *lines, rest = (self._line + data).replace(b"\r", b"\n").split(b"\n")
        self._line = rest[-LONGEST:]
        for line in lines:
            words = line.decode("ascii", "replace").split()
            if words:
                command = self._commands.get(words[0])
                answer = command(" ".join(words[1:])) if command else "?"
                self._said += f"{answer}\r\n".encode()

    def give(self, end: bytes) -> tuple[bytes, bool]:
        """What it said up to and including `end`; whether `end` was there."""
        before, mark, behind = self._said.partition(end)
        self._said = behind
        return before + mark, bool(mark)

    def forget(self) -> None:
        """A client opened the port: what nobody read is gone."""
        self._line = self._said = b""

    def _switch(self, argument: str) -> str:
        if argument:
            self._connected = int(argument) if argument in ("1", "2") else 0
            linked = self._connected == self._port and self._superspeed
            if self._enclosure is not None and linked:
                self._machine.attach(self._enclosure)
            elif self._enclosure is not None:
                self._machine.detach(self._enclosure)
        return f"port {self._connected}"

    def _choose(self, argument: str) -> str:
        if argument:
            self._superspeed = int(argument != "0")
        return f"superspeed {self._superspeed}"


class SerialPorts:
    """Answers clients' serial ports; called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._switches: dict[str, Switch] = {}
        for path, entry in paths(machine).items():
            port = entry.options.get("port", 1)
            self._switches[path] = Switch(machine, machine.enclosure(entry.enclosure), port)
            machine.tree.add(path, File(read=None, mode=0o020660, size=0))

    def request(self, request: dict[str, Any], payload: bytes) -> Reply:
        """Answer ``{what: open | write | read, path, …}``.

        Raises:
            OSError: ENOENT, there is no such port.

        """
        path = str(request["path"])
        switch = self._switches.get(path)
        if switch is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if request["what"] == "open":
            switch.forget()
            return {}, b"", 0.0
        if request["what"] == "write":
            switch.take(payload)
            return {}, b"", COMMAND_SECONDS
        # It answers at once or not at all: who waits for more waits in vain.
        said, ended = switch.give(bytes.fromhex(request["end"]))
        return {}, said, 0.0 if ended else float(request["timeout"])
