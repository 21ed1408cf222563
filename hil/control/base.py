"""What an actuator promises: to take an enclosure away from its host, and to bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

from hil import registry
from hil.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hil.hosts import Host
    from hil.model import Router

DETACHING: Final = frozenset({"unplug", "authorize", "remove"})
"""Capabilities of which an `Actuator` has one."""
GROUP: Final = "hil.actuators"
"""Entry-point group of the actuators."""
CAPABILITIES: Final = frozenset({"unplug", "power", "authorize", "remove", "reset", "port"})
"""What an actuator can say it does.

``unplug``: cuts the link by surprise, as a pulled cable does. ``power``: is a `PowerActuator`.
``authorize``: revokes and grants the tunnel. ``remove``: lets the operating system let go in an orderly way.
``reset``: resets. ``port``: `Actuator.attach` can plug it into another
receptacle of the host.
"""


@runtime_checkable
class Actuator(Protocol):
    """Acts on one enclosure of one host. Whether it may is the bench's question, asked before."""

    name: str
    """Its kind and what it acts on, for messages."""
    capabilities: frozenset[str]
    """Of `CAPABILITIES`."""

    def detach(self) -> None:
        """Take the enclosure away and come back when that was done; the host notices in its own time.

        Raises:
            BenchFault: the actuator failed; nothing is said about the device.

        """
        ...

    def attach(self, port: int | None = None) -> None:
        """Bring the enclosure back; link and functions come up in their own time, after this came back.

        Args:
            port: receptacle of the host, from 0; `None` = where it was.

        Raises:
            NotSupported: it cannot choose the port.
            BenchFault: the actuator failed.

        """
        ...

    def close(self) -> None:
        """Let go of what acts; leaves the enclosure as it is."""
        ...

    @classmethod
    def open(cls, host: Host, enclosure: Router, options: Mapping[str, Any]) -> Actuator:
        """Make ready to act on `enclosure`.

        Args:
            host: the host that the enclosure hangs on.
            enclosure: its router, as discovered.
            options: from the bench file.

        Raises:
            UsageError: an option is not known or has no meaning; says which are.
            NotSupported: it cannot act on this host or enclosure.
            BenchFault: what acts cannot be reached.

        """
        ...


@runtime_checkable
class PowerActuator(Protocol):
    """What an actuator with the capability ``power`` promises; it may be an `Actuator` too, or nothing else."""

    name: str
    """Its kind and what it acts on, for messages."""
    capabilities: frozenset[str]
    """Of `CAPABILITIES`."""

    def power_off(self) -> None:
        """Cut the enclosure's supply and come back when that was done; the host notices in its own time.

        Raises:
            BenchFault: the actuator failed; nothing is said about the device.

        """
        ...

    def power_on(self) -> None:
        """Give the enclosure its supply back; link and functions come up in their own time.

        Raises:
            BenchFault: the actuator failed.

        """
        ...

    def close(self) -> None:
        """Let go of what acts; leaves the supply as it is."""
        ...

    @classmethod
    def open(cls, host: Host, enclosure: Router, options: Mapping[str, Any]) -> PowerActuator:
        """As `Actuator.open`."""
        ...


def actuator(kind: str) -> type[Actuator | PowerActuator]:
    """The actuator registered as `kind`.

    Raises:
        UsageError: none is; says which are.

    """
    return cast("type[Actuator | PowerActuator]", registry.load(GROUP, kind))


def capabilities(kind: str) -> frozenset[str]:
    """What actuators of `kind` can do at the most; what one of them can, it says when it is open.

    Raises:
        UsageError: there is none of that kind; says which are.

    """
    told = getattr(actuator(kind), "capabilities", None)
    # One that only says it when it is open is taken for what most are.
    return told if isinstance(told, frozenset) else frozenset({"unplug"})


def check_options(kind: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse options that the actuator `kind` does not know.

    Raises:
        UsageError: names them and those it knows.

    """
    strange = sorted(set(options) - set(known))
    if strange:
        raise UsageError(
            f"actuator {kind}: no option {', '.join(map(repr, strange))}; known: {', '.join(sorted(known)) or 'none'}"
        )
