"""The machine's sockets: one listening address, and behind each connection one of its services."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil.errors import HilError
from hil.hosts.wires.frames import receive_frame, send_frame
from hil.model import to_dict
from hil.sim.clock import Actor, Disconnected
from hil.sim.driver import serve_driver
from hil.sim.machine import Machine
from hil.sim.requests import Requests, refusal
from hil.sim.tinygpu import serve_tinygpu
from hil.sim.transfers import Transfers

TINYGPU_SOCKET = "tinygpu.sock"
"""Name of the file, in the host's folder for temporary files, that TinyGPU's server listens on."""


class Server:
    """Serves one machine on a UNIX socket until it is switched off.

    Every connection begins with a frame ``{service, client, pid}``. `client` names the `Host` object that opened it:
    its operation is one actor, whichever connection it waits on. The ``life`` connection is never used for anything
    else: when it closes, the client is gone, with all it waited for.
    """

    def __init__(self, machine: Machine, address: Path) -> None:
        self.machine = machine
        self.address = address
        self.off = threading.Event()
        self._transfers = Transfers(machine)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(address))
        self._listener.listen(64)
        # A closed listener wakes a thread in accept() on Linux; elsewhere that is not promised.
        self._listener.settimeout(1.0)
        # Guarded by the machine's lock, like all that several connections share.
        self._open: dict[socket.socket, str] = {}
        self._controllers: list[socket.socket] = []
        self._tinygpu_taken = False
        self._tinygpu_free = machine.clock.signal()
        self._requests = Requests(machine, self._expired)
        machine.absence.on_crash.append(self._crashed)
        self._services: dict[str, Callable[[socket.socket, str], None]] = {
            "host": self._host,
            "driver": lambda sock, client: serve_driver(machine, self._transfers, sock, client),
            "events": self._events,
            "life": self._life,
            "control": self._control,
            "plug": self._plug,
        }

    def serve(self) -> None:
        """Accept connections until `switch_off`."""
        while not self.off.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                self.off.wait(0.1)  # switched off, or out of descriptors until somebody hangs up
                continue
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def switch_off(self) -> None:
        """Close everything; all who wait see the connection close."""
        self.off.set()
        _hang_up(self._listener)
        self._listener.close()
        self.machine.clock.switch_off()
        with self.machine.clock.lock:
            for sock in self._open:
                _hang_up(sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(*_ENDS), sock:
            hello, _ = receive_frame(sock)
            service, client = str(hello.get("service")), str(hello.get("client"))
            run = self._service(service)
            if run is None:
                send_frame(sock, {"errno": errno.ENOENT if "/" in service else errno.ECONNREFUSED})
                return
            lock = self.machine.clock.lock
            with lock:
                self._open[sock] = client
            try:
                send_frame(sock, {"ok": True})
                run(sock, client)
            finally:
                with lock:
                    del self._open[sock]

    def _service(self, name: str) -> Callable[[socket.socket, str], None] | None:
        """What listens at `name`: one of the machine's own services, or a path of a socket on it."""
        if "/" in name:
            listens = name.endswith("/" + TINYGPU_SOCKET) and self.machine.profile.host.system == "Darwin"
            return self._tinygpu if listens else None
        return self._services.get(name)

    # Services ---------------------------------------------------------------------------------------------------------

    def _life(self, sock: socket.socket, client: str) -> None:
        self.machine.clock.connect(client)
        try:
            while sock.recv(64):
                pass
        finally:
            self._disconnect(client)

    def _disconnect(self, client: str) -> None:
        with self.machine.clock.lock:
            self.machine.clock.disconnect(client)
            for sock, owner in self._open.items():
                if owner == client:
                    _hang_up(sock)

    def _tinygpu(self, sock: socket.socket, client: str) -> None:
        # One client at a time: a second one's requests lie unread until the first has gone.
        clock = self.machine.clock
        with clock.lock:
            while self._tinygpu_taken:
                clock.wait(client, self._tinygpu_free, what="TinyGPU's server, which serves one client at a time")
            self._tinygpu_taken = True
            clock.listen(sock)
        try:
            serve_tinygpu(self.machine, sock, client)
        finally:
            with clock.lock:
                self._tinygpu_taken = False
                self._tinygpu_free.fire()
                clock.deafen()

    def _plug(self, sock: socket.socket, _client: str) -> None:
        while True:
            order, _ = receive_frame(sock)
            with self.machine.clock.lock:
                refused = self._pull_or_push(order)
            send_frame(sock, {"error": refused} if refused else {"ok": True})

    def _pull_or_push(self, order: dict[str, Any]) -> str:
        machine, do, name, port = self.machine, order.get("do"), str(order.get("enclosure")), order.get("port")
        enclosure = machine.enclosure(name)
        what = f"cannot {do} {name!r}: "
        if enclosure is None:
            return what + f"known: {', '.join(e.spec.name for e in machine.enclosures) or 'no enclosure'}"
        if do not in ("attach", "detach", "power off", "power on"):
            return what + "expected attach, detach, power off or power on"
        if port is not None and not isinstance(port, int):
            return what + f"port = {port!r} is no number"

        if do == "detach":
            machine.detach(enclosure)
        elif do != "attach":
            machine.power(enclosure, on=do == "power on")
        elif hindrance := machine.why_not(enclosure, port):
            return what + hindrance
        else:
            machine.attach(enclosure, port)
        return ""

    def _events(self, sock: socket.socket, client: str) -> None:
        machine = self.machine
        wanted, _ = receive_frame(sock)
        subsystems = {str(name) for name in wanted.get("subsystems") or ()}
        waiting: deque[dict[str, Any]] = deque()
        came = machine.clock.signal()

        def listen(event: Any) -> None:
            if event.subsystem in subsystems:
                waiting.append(to_dict(event))
                came.fire()

        with machine.clock.lock:
            machine.listeners.append(listen)
        try:
            send_frame(sock, {"ok": True})
            while True:
                ask, _ = receive_frame(sock)
                with machine.clock.lock:
                    if not waiting:
                        machine.clock.wait(client, came, timeout=float(ask.get("timeout") or 0.0), what="an event")
                    event = waiting.popleft() if waiting else None
                send_frame(sock, {"event": event})
        except HilError as error:
            send_frame(sock, refusal(error))
        finally:
            with machine.clock.lock:
                machine.listeners.remove(listen)

    def _control(self, sock: socket.socket, client: str) -> None:
        """The controller's line: what it asks is answered, and it is told of operations past their deadline."""
        clock = self.machine.clock
        with clock.lock:
            self._controllers.append(sock)
        try:
            while True:
                order, _ = receive_frame(sock)
                # A notice goes out with the lock held too: the two never mix on the line.
                with clock.lock:
                    send_frame(sock, {"reply": self._obey(order, client)})
        finally:
            with clock.lock:
                self._controllers.remove(sock)
                clock.end(client)

    def _obey(self, order: dict[str, Any], client: str) -> dict[str, Any]:
        clock, machine = self.machine.clock, self.machine
        match order.get("do"):
            case "profile":
                return {
                    "profile": machine.profile.model_dump(mode="json"),
                    "faults": [fault.name for fault in machine.hooks.faults],
                }
            case "hold":
                clock.begin(client, "hold", math.inf, lambda _: None)
            case "release":
                clock.end(client)
            case "break":
                self._disconnect(str(order.get("client")))
            case "actors":
                return {"actors": clock.actors()}
            case "now":
                return {"now": clock.now()}
            case "struck":
                return {"struck": [fault.struck for fault in machine.hooks.faults]}
            case unknown:
                return {"error": f"no order {unknown!r}"}
        return {"ok": True}

    def _expired(self, actor: Actor, pid: int) -> None:
        waits = ", ".join(actor.waits.values()) or "nothing known"
        notice = {
            "notice": "deadline",
            "client": actor.client,
            "pid": pid,
            "operation": actor.name,
            "deadline": actor.seconds,
            "now": self.machine.clock.now(),
            "blocked_in": waits,
        }
        for sock in self._controllers:
            with contextlib.suppress(OSError):
                send_frame(sock, notice)
        if not self._controllers:  # nobody is there to end it
            self._disconnect(actor.client)

    def _crashed(self, seconds: float) -> None:
        """The host panics: whoever has a connection to it, but for the controllers', loses it."""
        for sock in self._controllers:
            with contextlib.suppress(OSError):
                send_frame(sock, {"notice": "down", "seconds": seconds, "now": self.machine.clock.now()})
        controllers = {self._open[sock] for sock in self._controllers}
        for client in set(self._open.values()) - controllers:
            self._disconnect(client)

    def _host(self, sock: socket.socket, client: str) -> None:
        while True:
            request, payload = receive_frame(sock)
            data = b""
            try:
                reply, data = self._requests.answer(request, payload, client)
            except (OSError, HilError) as error:
                reply = refusal(error)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                reply = {"os_error": [errno.EINVAL, f"the machine does not understand this request: {error!r}", None]}
            send_frame(sock, reply, data)


_ENDS = (EOFError, OSError, ValueError, HilError, Disconnected)
"""How a connection ends: closed, broken, by what is no request, because the machine failed, or cut off."""


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
