"""Uevents of the local Linux kernel: the netlink socket, and the messages that come through it."""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from hil.errors import BenchFault, NotSupported
from hil.hosts.base import Clock, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

_NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h
_KERNEL_GROUP = 1  # 2 is udev's
_LARGEST = 1 << 16
"""Bytes; the kernel's buffer for one uevent is 2 KiB plus its header."""
_QUEUE_BYTES = 16 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the socket module has no name for it


def parse_uevent(message: bytes, time: float) -> Event | None:
    """The event in one raw netlink `message`: ``ACTION@DEVPATH`` and ``KEY=VALUE`` strings, all ended by NUL.

    Args:
        message: as received.
        time: seconds on the host's clock at which it came.

    Returns:
        `None` for what is no kernel uevent (udev's own messages have a binary header).

    """
    head, *pairs = message.decode("utf-8", "replace").split("\0")
    properties = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    action, subsystem, path = (properties.get(key, "") for key in ("ACTION", "SUBSYSTEM", "DEVPATH"))
    if head != f"{action}@{path}" or not action:
        return None
    return Event(action=action, subsystem=subsystem, path=path.rpartition("/")[2], time=time, properties=properties)


def open_uevents() -> socket.socket:
    """A socket that receives the kernel's uevents from now on.

    Raises:
        NotSupported: this system has no uevents, or does not let this user (or this sandbox) listen.

    """
    if sys.platform != "linux":
        raise NotSupported("watching for hot plug: only Linux tells uevents; poll the inventory instead")
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_KOBJECT_UEVENT)
    except OSError as error:
        raise _refused(error) from error
    try:
        sock.bind((0, _KERNEL_GROUP))
    except OSError as error:
        sock.close()
        raise _refused(error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)  # cut to rmem_max
    return sock


def _refused(error: OSError) -> NotSupported:
    return NotSupported(
        f"watching for hot plug: the uevent socket was refused: {error}; poll the inventory instead",
        code=error.errno,
    )


class UeventStream:
    """A subscription; a thread takes messages as they come, so that their times are right."""

    def __init__(self, sock: socket.socket, subsystems: Sequence[str], clock: Clock) -> None:
        """Read `sock` (owned from now on); keep events of `subsystems` (none named: all), told by `clock`."""
        self._sock = sock
        self._subsystems = frozenset(subsystems)
        self._clock = clock
        self._kept: queue.Queue[Event | BenchFault] = queue.Queue()
        self._wake, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._listen, name="uevents", daemon=True)
        self._thread.start()

    def next(self, timeout: float) -> Event | None:
        """The next event, waiting at most `timeout` seconds; `None` if none came.

        Raises:
            BenchFault: events were lost (once for each gap; later events follow), or the socket failed.

        """
        try:
            item = self._kept.get(timeout=timeout) if timeout > 0 else self._kept.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, BenchFault):
            raise item
        return item

    def close(self) -> None:
        """End the subscription; a second time does nothing."""
        with suppress(OSError):
            self._stop.send(b"x")
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for sock in (self._sock, self._wake, self._stop):
            sock.close()

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while all(key.fileobj is self._sock for key, _ in selector.select()):
                if not self._receive():
                    return

    def _receive(self) -> bool:
        """Take one message; `False` when the socket is of no more use."""
        try:
            message, sender = self._sock.recvfrom(_LARGEST, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError as error:
            lost = error.errno == errno.ENOBUFS
            said = (
                "uevents were lost: they came faster than they were read; take the inventory again"
                if lost
                else f"the uevent socket failed: {os.strerror(error.errno or 0)}; watch again"
            )
            self._kept.put(BenchFault(said, code=error.errno, operation="watching for hot plug"))
            return lost
        # A message of another process (port id above 0) is no word of the kernel's.
        if not (isinstance(sender, tuple) and sender[0] != 0):
            event = parse_uevent(message, self._clock.now())
            if event and (not self._subsystems or event.subsystem in self._subsystems):
                self._kept.put(event)
        return True
