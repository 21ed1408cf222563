"""The server end of TinyGPU's socket protocol: probing, config space, BARs and reset of one GPU.

It does as TinyGPU.app's server and its driver extension do, refusals and silences included; PROBE alone, which the app
does not know, is answered as tinygrad's server for remote machines does. DMA is not simulated: a request to map system
memory is refused, so a driver gets as far as identifying the chip. Bytes are moved by the reference driver
(`hil.sim.driver`).
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING

from hil.hosts.wires.tinygpu import MMIO_BURST_LIMIT, REQUEST, RESPONSE, Command
from hil.sim.clock import Disconnected
from hil.sim.config_space import SIZE
from hil.sim.faults.base import HelperRequest
from hil.sim.macos import MacFace

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.sim.machine import Function, Machine

NO_DRIVER = (
    "Driver not available. Check: System Report > PCI for GPU, System Settings > Privacy & Security."  # the app's own
)
MAPPED_AT, MAPPED_APART = 0x1_0000_0000, 0x10_0000_0000
"""Where the server says its BARs are mapped: addresses in a process of its own, of no use to a client."""
_FILTER = struct.Struct("<II")
_FILTERS_LIMIT = 1 << 16
_CHUNK = 1 << 20
_CONFIG_SIZES = (1, 2, 4)


def serve_tinygpu(machine: Machine, sock: socket.socket, client: str) -> None:
    """Serve one client on `sock` until it hangs up or the GPU leaves; the caller lets one in at a time.

    Raises:
        OSError: the connection broke.

    """
    refused = False
    with contextlib.suppress(Disconnected):  # the session's own end, once it has read what it was asked
        refused = _ask(machine, client, "ACCEPT").refused
    with machine.clock.lock:
        function = None if refused else _first_gpu(machine)
    if function is None:
        _turn_away(sock, partial(machine.clock.hear, sock))
        return
    Session(machine, sock, client, function).serve()


class Session:
    """One client's connection, and the GPU that was there when it came."""

    def __init__(self, machine: Machine, sock: socket.socket, client: str, function: Function) -> None:
        self._machine = machine
        self._sock = sock
        self._receive = partial(machine.clock.hear, sock)
        self._client = client
        self._function = function
        self._mapped: dict[int, int] = {}
        self._wedged = False
        """Whether the server hangs where it ought to end."""

    def serve(self) -> None:
        """Answer requests until the end."""
        machine = self._machine
        with machine.clock.lock:
            machine.on_change.append(self._changed)
            self._changed()
        try:
            with contextlib.suppress(EOFError, Disconnected):
                while True:
                    request = REQUEST.unpack(self._receive(REQUEST.size))
                    if not self._heeds(request[0], request[4]):
                        break
                    self._answer(*request)
        finally:
            with machine.clock.lock:
                machine.on_change.remove(self._changed)

    def _heeds(self, command: int, nbytes: int) -> bool:
        """Whether the server goes on to answer; spends the time it takes until then."""
        asked = _ask(self._machine, self._client, _name(command))
        if asked.refused:
            _refuse(self._sock, self._receive, command, nbytes)
        return not (asked.refused or self._gone())

    def _changed(self) -> None:
        if self._gone() and not self._wedged:
            leaving = HelperRequest("EXIT")
            self._machine.hooks.tell("helper", leaving)
            self._wedged = math.isinf(leaving.delay)
        if self._gone() and not self._wedged:
            # The server's process ends with the device: whoever waits for an answer reads the end of the stream.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def _gone(self) -> bool:
        gpu = self._function.gpu
        return gpu is None or gpu.function is not self._function

    def _answer(self, command: int, _device: int, bar: int, first: int, second: int, third: int) -> None:
        match command:
            case Command.PROBE:
                self._probe(first, second, third)
            case Command.MAP_BAR:
                self._map_bar(bar)
            case Command.CFG_READ:
                self._config_read(first, second)
            case Command.CFG_WRITE:
                self._config_write(first, second, third)
            case Command.RESET:
                self._reply(ok=self._reset())
            case Command.MMIO_READ:
                self._mmio_read(bar, first, second)
            case Command.MMIO_WRITE:
                self._mmio_write(bar, first, second)
            case Command.RESIZE_BAR:
                self._reply()
            case _:
                self._reply(ok=False)

    def _reply(self, first: int = 0, second: int = 0, data: bytes = b"", *, ok: bool = True) -> None:
        if seconds := self._machine.site.taken():
            self._machine.clock.sleep(self._client, seconds, "TinyGPU's server")
        self._sock.sendall(RESPONSE.pack(0 if ok else 1, first, second) + data)

    def _probe(self, base_class: int, nbytes: int, vendor: int) -> None:
        if nbytes > _FILTERS_LIMIT:
            _drop(self._receive, nbytes)
            self._reply(ok=False)
            return
        payload = self._receive(nbytes)
        filters = list(_FILTER.iter_unpack(payload[: nbytes // _FILTER.size * _FILTER.size]))
        config = self._function.config
        right_class = not base_class or config.class_code >> 16 == base_class
        wanted = any(config.device_id & mask == device for mask, device in filters)
        if not (wanted and right_class and config.vendor_id == vendor):
            self._reply()
            return
        name = f"{self._function.address}:0".encode()
        self._reply(len(name), 1, name)

    def _map_bar(self, bar: int) -> None:
        with self._machine.clock.lock:
            size = self._machine.bar_size(self._function, bar)
        if not size:
            self._reply(ok=False)
            return
        self._mapped[bar] = size
        self._reply(MAPPED_AT + bar * MAPPED_APART, size)

    def _config_read(self, offset: int, size: int) -> None:
        if size not in _CONFIG_SIZES or offset + size > SIZE:
            self._reply(ok=False)
            return
        with self._machine.clock.lock:
            data = self._machine.config_read(self._function, offset, size)
        self._reply(int.from_bytes(data, "little"))

    def _config_write(self, offset: int, size: int, value: int) -> None:
        if size not in _CONFIG_SIZES or offset + size > SIZE:
            self._reply(ok=False)
            return
        data = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        with self._machine.clock.lock:
            self._machine.config_write(self._function, offset, data)
        self._reply()

    def _reset(self) -> bool:
        """A function-level reset, then a hot reset; nobody waits for the card to be ready or restores its config."""
        for kind in ("flr", "bus"):
            with self._machine.clock.lock:
                plan = self._machine.reset(self._function, kind, restores_config=False)
            self._machine.clock.sleep(self._client, plan.seconds, "TinyGPU reset")
            if plan.succeeds:
                return True
        return False

    def _mmio_read(self, bar: int, offset: int, size: int) -> None:
        if not self._inside(bar, offset, size):
            self._reply(ok=False)
            return
        with self._machine.clock.lock:
            data = self._machine.bar_read(self._function, bar, offset, size)
        self._reply(size, 0, data)

    def _mmio_write(self, bar: int, offset: int, size: int) -> None:
        if not self._inside(bar, offset, size):
            _drop(self._receive, size)
            return
        data = self._receive(size)
        with self._machine.clock.lock:
            self._machine.bar_write(self._function, bar, offset, data)

    def _inside(self, bar: int, offset: int, size: int) -> bool:
        return size <= MMIO_BURST_LIMIT and offset + size <= self._mapped.get(bar, 0)


def _first_gpu(machine: Machine) -> Function | None:
    """The GPU that the driver extension matched: behind a tunnel before one in a slot, by address."""
    face = machine.face
    if isinstance(face, MacFace) and face.extension != "activated enabled":
        return None
    found = [gpu.function for gpu in machine.gpus if gpu.function is not None]
    return min(found, key=lambda function: (function.enclosure is None, function.address), default=None)


def _turn_away(sock: socket.socket, receive: Callable[[int], bytes]) -> None:
    with contextlib.suppress(EOFError):
        command, _, _, _, nbytes, _ = REQUEST.unpack(receive(REQUEST.size))
        _refuse(sock, receive, command, nbytes)


def _refuse(sock: socket.socket, receive: Callable[[int], bytes], command: int, nbytes: int) -> None:
    if command in (Command.PROBE, Command.MMIO_WRITE):
        _drop(receive, nbytes)  # unread bytes would turn the close into a reset of the connection
    text = NO_DRIVER.encode()
    sock.sendall(RESPONSE.pack(1, len(text), 0) + text)


def _ask(machine: Machine, client: str, command: str) -> HelperRequest:
    """Let faults have their say on a request, and spend the time they want it to take."""
    with machine.clock.lock:
        machine.absence.wait(client)
        asked = HelperRequest(command)
        machine.hooks.tell("helper", asked)
    machine.clock.sleep(client, asked.delay, f"TinyGPU's server: {command}")
    return asked


def _name(command: int) -> str:
    return Command(command).name if command in set(Command) else str(command)


def _drop(receive: Callable[[int], bytes], nbytes: int) -> None:
    while nbytes:
        nbytes -= len(receive(min(nbytes, _CHUNK)))
