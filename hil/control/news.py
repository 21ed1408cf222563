"""Whether it is worth looking again at what hangs on a host: what it announces, and the bare names on its buses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hil.errors import HilError, NotSupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hil.hosts import Host

_FOLDERS: Final = ("/sys/bus/pci/devices", "/sys/bus/thunderbolt/devices")
SUBSYSTEMS: Final = ("pci", "thunderbolt")
POLL_SECONDS: Final = 0.1
"""Between two looks, on a host that announces nothing; one look takes some 100 ms on a Mac."""
QUIET_SECONDS: Final = 0.5
"""After which a host that does announce what comes is looked at all the same: what should be told may not be."""


def names_on_buses(host: Host) -> frozenset[str]:
    """Names of all functions and routers: two listings, where a look reads hundreds of files.

    Empty where the host keeps no such folders, or does not let them be listed.
    """
    try:
        return frozenset(name for folder in _FOLDERS for name in host.list(folder))
    except (OSError, HilError):
        return frozenset()


@contextmanager
def news(host: Host) -> Iterator[Callable[[float], bool]]:
    """What spends time until another look may show something new, at most the seconds given; whether there was news.

    Subscribed to before the first look, so that nothing falls between the two.
    """

    def sleep(left: float) -> bool:
        host.clock.sleep(min(POLL_SECONDS, left))
        return False

    def listen(left: float) -> bool:
        event = first = stream.next(min(QUIET_SECONDS, left))
        while event is not None:
            event = stream.next(0.0)
        return first is not None

    try:
        stream = host.watch(SUBSYSTEMS)
    except NotSupported:
        yield sleep
        return
    try:
        yield listen
    finally:
        stream.close()
