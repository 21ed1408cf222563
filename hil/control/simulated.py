"""The simulated machine's plug: pulls and pushes the cable of a simulated enclosure."""

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
    """A cable in a simulated machine; implements `hil.control.base.SchedulingActuator`."""

    capabilities = frozenset({"unplug", "schedule"})

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

    def detach(self, after: float = 0.0) -> None:
        """Pull the cable, in `after` seconds of the machine's clock.

        Raises:
            BenchFault: the machine refused or went away.

        """
        self._ask("detach", None, after)

    def attach(self, port: int | None = None, after: float = 0.0) -> None:
        """Push the cable in, in `after` seconds of the machine's clock.

        Raises:
            BenchFault: the machine refused or went away.

        """
        self._ask("attach", port, after)

    def close(self) -> None:
        """Hang up. What was scheduled still happens."""
        self._connection.close()

    def _ask(self, do: str, port: int | None, after: float) -> None:
        request = {"do": do, "enclosure": self._uid, "port": port, "after": after}
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
