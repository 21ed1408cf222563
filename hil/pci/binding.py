"""Which of the kernel's drivers has a function, and taking it from that driver or giving it back: Linux sysfs."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from hil.errors import DeviceGone, DriverError, NotSupported
from hil.pci.refusal import write_attribute
from hil.pci.sysfs import DEVICES

if TYPE_CHECKING:
    from hil.hosts import Host

DRIVERS: Final = "/sys/bus/pci/drivers"


def bound_driver(host: Host, address: str) -> str:
    """Name of the driver that has the function; empty if none has.

    Raises:
        DeviceGone: there is no such function.

    """
    try:
        return posixpath.basename(host.readlink(f"{DEVICES}/{address}/driver"))
    except OSError:
        _must_exist(host, address, f"asking which driver has {address}")
        return ""


def unbind(host: Host, address: str) -> str:
    """Take the function from its driver; comes back when the driver has let go.

    Returns:
        The driver's name, for `bind`; empty if none had it.

    Raises:
        DeviceGone: there is no such function.
        NotPermitted: not root.
        DriverError: the kernel refused, or said that it did and the driver has the function still.

    """
    driver = bound_driver(host, address)
    if not driver:
        return ""
    doing = f"taking {address} from its driver {driver}"
    write_attribute(host, f"{DRIVERS}/{driver}/unbind", address, doing)
    if bound_driver(host, address):
        raise DriverError(f"{doing}: the kernel reported success, and {driver} has it still", operation=doing)
    return driver


def bind(host: Host, address: str, driver: str) -> None:
    """Give the function to `driver`; comes back when the driver has probed it. Nothing if it has it already.

    Raises:
        DeviceGone: there is no such function.
        NotSupported: the kernel has no such driver.
        NotPermitted: not root.
        DriverError: the driver does not take it, or another one has it.

    """
    doing = f"giving {address} to driver {driver}"
    if bound_driver(host, address) == driver:
        return
    try:
        write_attribute(host, f"{DRIVERS}/{driver}/bind", address, doing)
    except DeviceGone as error:
        # ENODEV is also what a driver answers that does not want the function, or whose probe failed.
        _must_exist(host, address, doing)
        raise DriverError(
            f"{doing}: it does not take it; see the kernel log for the reason", code=error.code, operation=doing
        ) from error
    except NotSupported as error:
        raise NotSupported(f"{doing}: the kernel has no driver {driver}; load its module", operation=doing) from error
    found = bound_driver(host, address)
    if found != driver:
        raise DriverError(f"{doing}: the kernel reported success, and {found or 'no driver'} has it", operation=doing)


def _must_exist(host: Host, address: str, doing: str) -> None:
    try:
        host.stat(f"{DEVICES}/{address}")
    except OSError as error:
        raise DeviceGone(
            f"{doing}: {DEVICES}/{address} is not there; the function was removed", code=error.errno, operation=doing
        ) from error
