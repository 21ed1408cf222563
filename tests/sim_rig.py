"""A simulated machine served within the tests' own process, and threads that no test can hang on."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hil.copy.simulated import SimulatedEngine
from hil.hosts.simulated import SimulatedHost
from hil.hosts.wires.driver import REQUEST, RESPONSE, Call
from hil.hosts.wires.frames import receive_exactly, receive_with_descriptors
from hil.sim import profile
from hil.sim.faults import choice
from hil.sim.faults.base import Fault, Site
from hil.sim.machine import Machine
from hil.sim.profile import Profile
from hil.sim.server import Server

PATIENCE = 20.0
"""Real seconds after which a test that should have gone on fails; nothing here takes a tenth of one."""
MIB = 1 << 20
GPUS = ("GPU-00000000-0000-0000-0000-000000000000", "GPU-00000000-0000-0000-0000-000000000001")


def round_numbers(*, system: str = "Linux", **gpu: object) -> Profile:
    """Two enclosures with a card each; rates that make times easy to say: 2 GB/s there, 4 GB/s back."""
    card = {
        "device_id": 0x2684,
        "vram_mib": 1024,
        "h2d_gb_s": 2.0,
        "d2h_gb_s": 4.0,
        "vram_gb_s": 100.0,
        "latency_us": 10.0,
        **gpu,
    }
    box = {"vendor": "Maker", "vendor_id": 1, "device_id": 2, "kind": "usb4", "lane_gbps": 20.0, "lanes": 2}
    data = {
        "summary": "round numbers",
        "host": {"system": system, "model": "Bench", "os_version": "6.12.0", "ports": 3, "driver_version": "1.0"},
        "enclosure": [
            {"name": "Left", "uid": "00000000000000aa", "port": 0, **box},
            {"name": "Right", "uid": "00000000000000bb", "port": 1, **box},
        ],
        "gpu": [
            {"name": "Card 0", "uuid": GPUS[0], "enclosure": "Left", **card},
            {"name": "Card 1", "uuid": GPUS[1], "enclosure": "Right", **card},
        ],
    }
    return profile.validate(data, "round numbers")


class Task:
    """A function in a thread; its outcome is waited for, but not for ever."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._value: Any = None
        self._error: BaseException | None = None

        def run() -> None:
            try:
                self._value = function(*arguments)
            except BaseException as error:  # noqa: BLE001  (raised again in `result`)
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(PATIENCE)
        assert self.over, "still waiting"
        if self._error is not None:
            raise self._error
        return self._value


def until(condition: Callable[[], Any]) -> None:
    """Wait for what another thread is about to do."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


class Rig:
    """A served machine with its clients. `faults`: text as on the command line, or functions that make one."""

    def __init__(self, chosen: Profile | str | None = None, *faults: str | Callable[[Site], Fault]) -> None:
        self._folder = tempfile.TemporaryDirectory(dir="/tmp")
        kind = profile.load(chosen) if isinstance(chosen, str) else chosen or round_numbers()
        self.machine = Machine(
            kind, lambda site: [choice.make(f, site) if isinstance(f, str) else f(site) for f in faults]
        )
        self.server = Server(self.machine, Path(self._folder.name) / "m")
        self.address = str(self.server.address)
        self._serving = threading.Thread(target=self.server.serve, daemon=True)
        self._serving.start()
        self._hosts: list[SimulatedHost] = []

    def host(self) -> SimulatedHost:
        host = SimulatedHost(self.address)
        self._hosts.append(host)
        return host

    def engine(self, target: str = "0", host: SimulatedHost | None = None) -> SimulatedEngine:
        return SimulatedEngine.open(host or self.host(), target)

    def wire(self, *, gpu: int | None = None) -> Wire:
        return Wire(self.host(), gpu)

    def do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Let something happen to the machine, as a hand or a kernel would."""
        with self.machine.clock.lock:
            return action(*arguments)

    def close(self) -> None:
        for host in self._hosts:
            host.close()
        self.server.switch_off()
        self._serving.join(PATIENCE)
        assert not self._serving.is_alive(), "the server goes on"
        self._folder.cleanup()


class Wire:
    """The driver's wire, call by call."""

    def __init__(self, host: SimulatedHost, gpu: int | None = None) -> None:
        self.sock = host.connect("driver")
        if gpu is not None:
            self.ok(Call.OPEN, gpu)

    def call(self, call: int, *arguments: int) -> tuple[int, tuple[int, ...], str]:
        self.sock.sendall(REQUEST.pack(call, 0, *arguments, *[0] * (10 - len(arguments))))
        head, self.descriptors = receive_with_descriptors(self.sock, RESPONSE.size)
        status, length, *results = RESPONSE.unpack(head)
        return status, tuple(results), receive_exactly(self.sock, length).decode()

    def ok(self, call: int, *arguments: int) -> tuple[int, ...]:
        status, results, text = self.call(call, *arguments)
        assert status == 0, text
        return results

    def status(self, call: int, *arguments: int) -> int:
        return self.call(call, *arguments)[0]


def there_and_back(rig: Rig, nbytes: int = 4096, *, target: str = "0", copies: int = 1) -> list[bytes]:
    """What comes back of as many copies of ones, into memory that held dots."""
    engine = rig.engine(target)
    sent, received, there = engine.host_alloc(nbytes), engine.host_alloc(nbytes), engine.alloc(nbytes)
    sent.view[:] = b"\1" * nbytes
    found = []
    for _ in range(copies):
        received.view[:] = b"." * nbytes
        engine.upload(there, sent, nbytes)
        engine.download(received, there, nbytes)
        engine.synchronize()
        found.append(bytes(received.view))
    engine.close()
    return found


@contextmanager
def rigs() -> Iterator[Callable[..., Rig]]:
    """Something to switch machines on with; all are switched off at the end."""
    on: list[Rig] = []

    def start(*arguments: Any) -> Rig:
        on.append(Rig(*arguments))
        return on[-1]

    yield start
    for rig in on:
        rig.close()
