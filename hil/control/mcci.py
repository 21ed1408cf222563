"""The MCCI 3141 (and 3142) USB4 switch: pulls and pushes an enclosure's link at full USB4 rate, told over USB serial.

The switch takes lines: ``port N`` connects its port N (0 = none), ``port`` tells which is connected, ``version`` tells
its firmware (MCCI, Model 3141 documentation). How answers are worded is not published and differs between releases:
the last number in a line is taken for the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from hil.control.base import check_options
from hil.errors import BenchFault, NotSupported, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.hosts import Host, SerialPort
    from hil.model import Router

OPTIONS: Final = ("serial", "port", "baud")
PORTS: Final = (1, 2)
BAUD: Final = 9600
"""bit/s, MCCI's default; a USB serial port takes any."""
ANSWER_SECONDS: Final = 2.0
"""The switch answers within milliseconds."""
SETTLE_SECONDS: Final = 0.05
"""For what is still on its way from an earlier command."""
_LINES: Final = 20
"""More lines than any answer has."""


class McciSwitch:
    """One switch with an enclosure on one of its ports; implements `hil.control.base.Actuator`.

    Options: ``serial``, the path of its serial port (``/dev/ttyACM0``, ``/dev/cu.usbmodem…``); ``port``, the switch's
    port that the enclosure hangs on (1, the default, or 2); ``baud``.
    """

    capabilities = frozenset({"unplug"})

    def __init__(self, line: SerialPort, path: str, port: int, enclosure: Router) -> None:
        self.name = f"MCCI switch at {path}, port {port}, of {enclosure.device_name or enclosure.uid}"
        self._line = line
        self._port = port

    @classmethod
    def open(cls, host: Host, enclosure: Router, options: Mapping[str, Any]) -> McciSwitch:
        """Open the serial port and see that a switch answers. Connects and disconnects nothing.

        Raises:
            UsageError: an option is not known, missing, or has no meaning.
            NotSupported: the host has no serial ports (pyserial is not installed).
            BenchFault: the port cannot be opened, or no switch answers behind it.

        """
        check_options("mcci", options, OPTIONS)
        path, port, baud = options.get("serial"), options.get("port", PORTS[0]), options.get("baud", BAUD)
        if not isinstance(path, str) or not path.startswith("/"):
            raise UsageError(
                f"actuator mcci: serial = {path!r}; expected the path of the switch's serial port, "
                "such as '/dev/ttyACM0' (Linux) or '/dev/cu.usbmodem101' (macOS)"
            )
        if isinstance(port, bool) or port not in PORTS:
            raise UsageError(
                f"actuator mcci: port = {port!r}; expected the switch's port that the enclosure is on, 1 or 2"
            )
        if isinstance(baud, bool) or not isinstance(baud, int) or baud <= 0:
            raise UsageError(f"actuator mcci: baud = {baud!r}; expected bit/s, such as {BAUD}")
        try:
            line = host.serial(path, baud)
        except OSError as error:
            raise BenchFault(
                f"actuator mcci: {path} cannot be opened: {error.strerror or error}. Is the switch's control cable "
                "plugged into this host, and may this user open serial ports?",
                code=error.errno,
                operation="open",
            ) from error
        switch = cls(line, path, port, enclosure)
        try:
            switch._ask("version")
        except BaseException:
            line.close()
            raise
        return switch

    def detach(self) -> None:
        """Disconnect the enclosure, as a pulled cable does.

        Raises:
            BenchFault: the switch does not answer, or stays connected.

        """
        self._connect(0, "detach")

    def attach(self, port: int | None = None) -> None:
        """Connect the enclosure.

        Raises:
            NotSupported: a receptacle of the host was asked for.
            BenchFault: the switch does not answer, or stays disconnected.

        """
        if port is not None:
            raise NotSupported(f"attach by {self.name}: the switch cannot move a cable to port {port} of the host")
        self._connect(self._port, "attach")

    def close(self) -> None:
        """Close the serial port; the enclosure stays as it is."""
        self._line.close()

    def _connect(self, port: int, doing: str) -> None:
        self._ask(f"port {port}", doing)
        # What it acknowledges is what it was told; what it says when asked is how things are.
        answer = self._ask("port", doing)
        if answer != port:
            raise BenchFault(
                f"{doing} by {self.name}: told to connect port {port}, the switch says that it has connected {answer}; "
                "look at the switch, and at whether something else drives it",
                code=answer,
                operation=doing,
            )

    def _ask(self, command: str, doing: str = "open") -> int:
        """Send `command`; the last number in the first line that holds one beside an echo of the command."""
        try:
            for _ in range(_LINES):
                if not self._line.read_until(b"\n", SETTLE_SECONDS):
                    break
            self._line.write(f"{command}\r\n".encode())
            for _ in range(_LINES):
                line = self._line.read_until(b"\n", ANSWER_SECONDS)
                numbers = re.findall(rb"[0-9]+", line)
                if numbers:
                    return int(numbers[-1])
                if not line.endswith(b"\n"):
                    break
        except OSError as error:
            raise BenchFault(
                f"{doing} by {self.name}: its serial port failed: {error.strerror or error}",
                code=error.errno,
                operation=doing,
            ) from error
        raise BenchFault(
            f"{doing} by {self.name}: no answer to {command!r} within {ANSWER_SECONDS:g} s. Is this the serial port of "
            "an MCCI switch, and has the switch power?",
            operation=doing,
        )
