"""Which enclosure a USB device hangs on: only where something says so, never by guess.

Neither system keeps a link from a USB device to a Thunderbolt router. Two things tell all the same: the host controller
that a Thunderbolt 3 enclosure brings along is a PCI function joined to it, and some makers give their hub the id of the
router as serial number. What hangs on a hub that is an enclosure's hangs on that enclosure, unless another one is
daisy-chained behind it. Everything else stays unjoined.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hil.model import Router, RouterRole, UsbFunction

_UID_DIGITS = 16


def joined(
    usb: Iterable[UsbFunction], routers: Sequence[Router], enclosure_of: Mapping[str, str]
) -> tuple[UsbFunction, ...]:
    """`usb`, each with the enclosure that it hangs on where that is known.

    Args:
        usb: devices, `enclosure` still open.
        routers: all routers of the host.
        enclosure_of: address of a PCI function → name of the router that holds it.

    """
    devices = tuple(usb)
    by_name = {router.name: router for router in routers}
    known = {device.location: _own(device, routers, by_name, enclosure_of) for device in devices}
    chained = {router.parent for router in routers}
    return tuple(replace(device, enclosure=_nearest(device, known, chained)) for device in devices)


def _own(
    device: UsbFunction, routers: Sequence[Router], by_name: Mapping[str, Router], enclosure_of: Mapping[str, str]
) -> Router | None:
    """The enclosure that the device itself tells of."""
    by_controller = by_name.get(enclosure_of.get(device.controller, ""))
    if by_controller is not None:
        return by_controller
    digits = re.sub(r"[-:\s]", "", device.serial.lower())
    fits = [
        router
        for router in routers
        if router.role is RouterRole.ENCLOSURE and len(router.uid) == _UID_DIGITS and router.uid in digits
    ]
    return fits[0] if len(fits) == 1 else None


def _nearest(device: UsbFunction, known: Mapping[str, Router | None], chained: set[str | None]) -> str:
    own = known[device.location]
    if own is not None:
        return own.uid or own.name
    above = [
        place
        for place, router in known.items()
        if router is not None and place != device.location and device.location.startswith(_stem(place))
    ]
    router = known[max(above, key=lambda place: len(_stem(place)))] if above else None
    return "" if router is None or router.name in chained else router.uid or router.name


def _stem(location: str) -> str:
    """What the locations behind a hub at `location` begin with, in either system's notation."""
    # A location id of macOS has the bus in its first two digits and a port a digit behind them, filled up with zeros.
    return location.rstrip("0") if location.startswith("0x") else f"{location}."
