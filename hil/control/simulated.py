"""The simulated machine's plug: pulls and pushes the cable of a simulated enclosure, and switches its supply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hil.control.base import check_options
from hil.errors import BenchFault, NotSupported
from hil.hosts.wires.frames import receive_frame, send_frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from hil.hosts import Host
    from hil.model import Router

SERVICE: Final = "plug"
"""Name of the simulated machine's service."""


class SimulatedPlug:
    """Cable and supply of a simulated enclosure; implements `hil.control.base.Actuator` and `PowerActuator`."""

    capabilities = frozenset({"unplug", "power", "port"})

    def __init__(self, connection: socket.socket, enclosure: Router) -> None:
        self.name = f"simulated plug of {enclosure.device_name or enclosure.uid}"
        self._connection = connection
        self._uid = enclosure.uid

    @classmethod
    def open(cls, host: Host, enclosure: Router, options: Mapping[str, Any]) -> SimulatedPlug:
        """Connect to the machine's plug service. There are no options.

        Raises:
            UsageError: an option was given.
            NotSupported: this host is not simulated.

        """
        check_options("simulated", options, ())
        try:
            connection = host.connect(SERVICE)
        except OSError as error:
            raise NotSupported(
                f"actuator simulated: a {host.kind} host has no service {SERVICE!r} "
                f"({error.strerror or error}); choose another kind of actuator in the bench file",
                code=error.errno,
                operation="open",
            ) from error
        return cls(connection, enclosure)

    def detach(self) -> None:
        """Pull the cable.

        Raises:
            BenchFault: the machine refused or went away.

        """
        self._ask("detach")

    def attach(self, port: int | None = None) -> None:
        """Push the cable in.

        Raises:
            BenchFault: the machine refused or went away.

        """
        self._ask("attach", port)

    def power_off(self) -> None:
        """Cut the enclosure's supply.

        Raises:
            BenchFault: the machine refused or went away.

        """
        self._ask("power off")

    def power_on(self) -> None:
        """Give the enclosure its supply back.

        Raises:
            BenchFault: the machine refused or went away.

        """
        self._ask("power on")

    def close(self) -> None:
        """Hang up; cable and supply stay as they are."""
        self._connection.close()

    def _ask(self, do: str, port: int | None = None) -> None:
        request = {"do": do, "enclosure": self._uid, "port": port}
        try:
            send_frame(self._connection, request)
            answer, _ = receive_frame(self._connection)
        except (EOFError, OSError, ValueError) as error:
            raise BenchFault(
                f"{do} by {self.name}: the simulated machine does not answer: {error}", operation=do
            ) from error
        if not answer.get("ok"):
            raise BenchFault(
                f"{do} by {self.name}: the simulated machine refused: {answer.get('error', answer)}",
                operation=do,
            )
