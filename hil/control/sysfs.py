"""Orderly removal and return of an enclosure's PCI functions by Linux itself: remove, rescan, authorized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hil.control.base import check_options
from hil.discovery import glance
from hil.errors import BenchFault, NotSupported, UsageError
from hil.pci import write_attribute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.hosts import Host
    from hil.model import Inventory, Router

PCI: Final = "/sys/bus/pci"
THUNDERBOLT: Final = "/sys/bus/thunderbolt/devices"
WAYS: Final = ("remove", "authorize")


class SysfsActuator:
    """Takes an enclosure away as a user's "eject" would; the cable stays in.

    Implements `hil.control.base.Actuator`. The option ``by`` says how `detach` does it: ``remove`` (default)
    lets the kernel let go of the enclosure's topmost PCI function and all below it (what is daisy-chained
    behind too); ``authorize`` revokes the router's authorization, which takes the tunnel down.
    """

    capabilities = frozenset({"remove", "authorize"})

    def __init__(self, host: Host, enclosure: Router, by: str, capabilities: frozenset[str]) -> None:
        self.name = f"sysfs {by} of {enclosure.device_name or enclosure.uid}"
        self.capabilities = capabilities
        self._host = host
        self._enclosure = enclosure
        self._by = by

    @classmethod
    def open(cls, host: Host, enclosure: Router, options: Mapping[str, Any]) -> SysfsActuator:
        """Find out what this kernel lets be done to `enclosure`.

        Raises:
            UsageError: an option is not known or has no meaning.
            NotSupported: this is no Linux, or its domain does not allow what ``by`` asks for.

        """
        check_options("sysfs", options, ("by",))
        by = options.get("by", WAYS[0])
        if by not in WAYS:
            raise UsageError(f"actuator sysfs: by = {by!r}; expected one of {', '.join(WAYS)}")
        system = host.facts().system
        if system != "Linux":
            raise NotSupported(f"actuator sysfs: works on Linux, not on {system or 'this system'}")
        revocable = _revocable(host, enclosure)
        if by == "authorize" and not revocable:
            raise NotSupported(
                f"actuator sysfs: {THUNDERBOLT}/{enclosure.domain}/deauthorization is not 1: this host "
                f"does not let the authorization of {enclosure.device_name or enclosure.uid} be revoked; "
                "use by = 'remove'"
            )
        return cls(host, enclosure, by, frozenset({"remove", "authorize"} if revocable else {"remove"}))

    def detach(self) -> None:
        """Let go of the enclosure, the way that was opened.

        Raises:
            BenchFault: nothing to remove was found.
            NotPermitted: not root.
            DriverError: the kernel refused.

        """
        if self._by == "authorize":
            self.authorize(granted=False)
        else:
            self.remove()

    def attach(self, port: int | None = None) -> None:
        """Bring the enclosure's functions back.

        Raises:
            NotSupported: a port was asked for.
            BenchFault: the router is not there.
            NotPermitted: not root.
            DriverError: the kernel refused.

        """
        if port is not None:
            raise NotSupported(f"attach by {self.name}: software cannot move a cable to port {port}; name no port")
        if self._by == "authorize":
            self.authorize(granted=True)
        else:
            self.rescan()

    def remove(self) -> None:
        """Let the kernel let go of the enclosure's topmost functions and all below them; see `detach`."""
        inventory = glance(self._host)
        tops = topmost(inventory, self._enclosure.uid)
        if not tops:
            raise BenchFault(
                f"detach by {self.name}: no PCI function was found below router {self._enclosure.uid}"
                + _because(inventory),
                operation="detach",
            )
        for address in tops:
            write_attribute(
                self._host,
                f"{PCI}/devices/{address}/remove",
                "1",
                f"detach by {self.name}: removing {address}",
            )

    def rescan(self) -> None:
        """Let the kernel look for functions that it does not know."""
        write_attribute(self._host, f"{PCI}/rescan", "1", f"attach by {self.name}: rescanning")

    def authorize(self, *, granted: bool) -> None:
        """Grant or revoke the router's authorization: with it comes and goes the PCIe tunnel.

        Raises:
            BenchFault: the router is not there.
            NotPermitted: not root.
            DriverError: the kernel refused.

        """
        doing = f"{'attach' if granted else 'detach'} by {self.name}"
        inventory = glance(self._host)
        # Looked up each time: a router's name tells its port, and the cable may have moved.
        router = next((r for r in inventory.routers if r.uid == self._enclosure.uid), None)
        if router is None:
            raise BenchFault(f"{doing}: router {self._enclosure.uid} is not there" + _because(inventory))
        if router.authorized is not None and bool(router.authorized) == granted:
            return  # the kernel refuses to authorize twice with EINVAL
        write_attribute(self._host, f"{THUNDERBOLT}/{router.name}/authorized", str(int(granted)), doing)

    def close(self) -> None:
        """Nothing is held."""


def topmost(inventory: Inventory, uid: str) -> tuple[str, ...]:
    """BDFs of the functions of the enclosure `uid` that hang on no other function of it."""
    enclosure = next((e for e in inventory.enclosures if e.router.uid == uid), None)
    inside = set(enclosure.functions) if enclosure else set()
    return tuple(f.address for f in inventory.functions if f.address in inside and f.parent not in inside)


def _revocable(host: Host, enclosure: Router) -> bool:
    try:
        return host.read(f"{THUNDERBOLT}/{enclosure.domain}/deauthorization").strip() == b"1"
    except OSError:
        return False


def _because(inventory: Inventory) -> str:
    return "; discovery says: " + " ".join(inventory.problems) if inventory.problems else "; is it plugged in?"
