"""What the host's own process tells the kernel to let go of, and to take back: drivers, functions, authorizations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil import pci
from hil.control.sysfs import THUNDERBOLT, SysfsActuator
from hil.discovery import glance
from hil.errors import BenchFault, HilError, NotSupported, UsageError
from hil.model import Router, from_dict
from hil.pci import write_attribute

if TYPE_CHECKING:
    from hil.bench.worker import Context
    from hil.hosts import Host

BUS = "/sys/bus/pci"


def take(context: Context, *, way: str, what: list[dict[str, Any]], after: float = 0.0) -> None:
    """Take away what `what` says, in `after` seconds; it is what `hil.bench.removals` notes.

    Args:
        context: of this process.
        way: ``unbind``, ``remove`` or ``revoke``.
        what: ``{address, driver}`` or ``{address}`` each, or routers, of which the first is revoked.
        after: seconds of the host's clock.

    Raises:
        HilError: the kernel refused, or it is not there.

    """
    _must_be_known(way)
    host = context.host
    context.host.clock.sleep(after)
    if way == "revoke":
        _authorize(host, what[0], granted=False)
        return
    for one in what:
        address = str(one["address"])
        if way == "unbind":
            pci.unbind(host, address)
        else:
            write_attribute(host, f"{BUS}/devices/{address}/remove", "1", f"removing {address}")


def give(context: Context, *, way: str, what: list[dict[str, Any]]) -> None:
    """Give back what `take` took; functions come up in their own time.

    Raises:
        HilError: the kernel refused, or it is not there.

    """
    _must_be_known(way)
    host = context.host
    if way == "remove":
        write_attribute(host, f"{BUS}/rescan", "1", f"rescanning for {', '.join(str(one['address']) for one in what)}")
        return
    for one in what:
        if way == "revoke":
            _authorize(host, one, granted=True)
        else:
            pci.bind(host, str(one["address"]), str(one["driver"]))


def authorization(context: Context, *, enclosure: dict[str, Any], levels: list[str]) -> list[dict[str, Any]]:
    """Write each of `levels` to the enclosure's authorization, as it is, and read what it is then.

    Returns:
        Of each: ``level``, ``before`` and ``after`` as it read, ``refusal`` in words (empty if the kernel took it), and
        its ``code``, the errno.

    """
    host = context.host
    path = f"{THUNDERBOLT}/{_found(host, enclosure).name}/authorized"
    told = []
    for level in levels:
        before, refusal, code = host.read(path).decode().strip(), "", None
        try:
            write_attribute(host, path, level, f"writing {level!r} to {path}")
        except HilError as error:
            refusal, code = str(error), error.code
        after = host.read(path).decode().strip()
        told.append({"level": level, "before": before, "after": after, "refusal": refusal, "code": code})
    return told


def _authorize(host: Host, enclosure: dict[str, Any], *, granted: bool) -> None:
    router = from_dict(Router, enclosure)
    try:
        SysfsActuator.open(host, router, {"by": "authorize"}).authorize(granted=granted)
    except NotSupported:
        if not granted:
            raise
        # A domain that lets nothing be revoked lets it be granted all the same.
        SysfsActuator.open(host, router, {}).authorize(granted=True)


def _found(host: Host, enclosure: dict[str, Any]) -> Router:
    uid = from_dict(Router, enclosure).uid
    inventory = glance(host)
    router = next((one for one in inventory.routers if one.uid == uid), None)
    if router is None:
        said = f"; discovery says: {' '.join(inventory.problems)}" if inventory.problems else ""
        raise BenchFault(f"router {uid} is not there{said}", operation="authorization")
    return router


def _must_be_known(way: str) -> None:
    if way not in ("unbind", "remove", "revoke"):
        raise UsageError(f"no way to take a device away is called {way!r}; known: unbind, remove, revoke")
