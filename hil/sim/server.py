"""The machine's sockets: one listening address, and behind each connection one of its services."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil import errors
from hil.errors import HilError
from hil.hosts.wires.frames import receive_frame, send_frame
from hil.model import to_dict
from hil.sim.clock import Actor, Disconnected
from hil.sim.driver import serve_driver
from hil.sim.machine import Machine
from hil.sim.requests import Requests
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
        self._open: dict[socket.socket, str] = {}
        self._controllers: list[socket.socket] = []
        self._tinygpu = threading.Lock()
        self._requests = Requests(machine, self._expired)
        self._services: dict[str, Callable[[socket.socket, str], None]] = {
            "host": self._host,
            "driver": lambda sock, client: serve_driver(machine, self._transfers, sock, client),
            "events": self._events,
            "life": self._life,
            "control": self._control,
            "plug": self._plug,
            TINYGPU_SOCKET: self._tinygpu_server,
        }

    def serve(self) -> None:
        """Accept connections until `switch_off`."""
        while not self.off.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                break
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def switch_off(self) -> None:
        """Close everything; all who wait see the connection close."""
        self.off.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.machine.clock.switch_off()
        for sock in list(self._open):
            _hang_up(sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(EOFError, OSError, ValueError, Disconnected), sock:
            hello, _ = receive_frame(sock)
            service, client = str(hello.get("service")), str(hello.get("client"))
            run = self._services.get(Path(service).name)
            if run is None or (service.startswith("/") and self._refuses(service)):
                send_frame(sock, {"errno": errno.ENOENT if service.startswith("/") else errno.ECONNREFUSED})
                return
            self._open[sock] = client
            send_frame(sock, {"ok": True})
            try:
                run(sock, client)
            finally:
                self._open.pop(sock, None)

    def _refuses(self, path: str) -> bool:
        return not (path.endswith("/" + TINYGPU_SOCKET) and self.machine.profile.host.system == "Darwin")

    # Services ---------------------------------------------------------------------------------------------------------

    def _life(self, sock: socket.socket, client: str) -> None:
        try:
            while sock.recv(64):
                pass
        finally:
            self._disconnect(client)

    def _disconnect(self, client: str) -> None:
        self.machine.clock.disconnect(client)
        for sock in [sock for sock, owner in list(self._open.items()) if owner == client]:
            _hang_up(sock)

    def _tinygpu_server(self, sock: socket.socket, client: str) -> None:
        with (
            self._tinygpu
        ):  # one client at a time: a second one's requests lie unread until the first has gone
            serve_tinygpu(self.machine, sock, client)

    def _plug(self, sock: socket.socket, _client: str) -> None:
        machine = self.machine
        while True:
            order, _ = receive_frame(sock)
            with machine.clock.lock:
                enclosure = machine.enclosure(str(order.get("enclosure")))
                if enclosure is None or order.get("do") not in ("attach", "detach"):
                    known = ", ".join(e.spec.name for e in machine.enclosures)
                    send_frame(
                        sock,
                        {"error": f"cannot {order.get('do')} {order.get('enclosure')!r}; known: {known}"},
                    )
                    continue
                port = order.get("port")

                def act(do: object = order["do"], enclosure: Any = enclosure, port: Any = port) -> None:
                    if do == "attach":
                        machine.attach(enclosure, port)
                    else:
                        machine.detach(enclosure)

                after = float(order.get("after") or 0.0)
                if after > 0:
                    machine.clock.at(after, act)
                else:
                    act()
            send_frame(sock, {"ok": True})

    def _events(self, sock: socket.socket, client: str) -> None:
        machine = self.machine
        wanted, _ = receive_frame(sock)
        subsystems = set(wanted.get("subsystems", ()))
        waiting: list[dict[str, Any]] = []
        came = machine.clock.signal()

        def listen(event: Any) -> None:
            if event.subsystem in subsystems:
                waiting.append(to_dict(event))
                came.fire()

        with machine.clock.lock:
            machine.listeners.append(listen)
        send_frame(sock, {"ok": True})
        try:
            while True:
                ask, _ = receive_frame(sock)
                with machine.clock.lock:
                    if not waiting:
                        machine.clock.wait(client, came, timeout=float(ask["timeout"]), what="an event")
                    event = waiting.pop(0) if waiting else None
                send_frame(sock, {"event": event})
        finally:
            with machine.clock.lock:
                machine.listeners.remove(listen)

    def _control(self, sock: socket.socket, client: str) -> None:
        """The controller's line: what it asks is answered, and it is told of operations past their deadline."""
        self._controllers.append(sock)
        clock = self.machine.clock
        try:
            while True:
                order, _ = receive_frame(sock)
                do = order.get("do")
                reply: dict[str, Any] = {"ok": True}
                if do == "profile":
                    profile = self.machine.profile
                    reply["profile"] = profile.model_dump(mode="json")
                    reply["faults"] = [fault.name for fault in self.machine.hooks.faults]
                elif do == "hold":
                    clock.begin(client, "hold", math.inf, lambda _: None)
                elif do == "release":
                    clock.end(client)
                elif do == "break":
                    self._disconnect(str(order.get("client")))
                elif do == "actors":
                    reply["actors"] = clock.actors()
                elif do == "now":
                    reply["now"] = clock.now()
                else:
                    reply = {"error": f"no order {do!r}"}
                with clock.lock:
                    send_frame(sock, {"reply": reply})
        finally:
            self._controllers.remove(sock)
            clock.end(client)

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
        for sock in list(self._controllers):
            with contextlib.suppress(OSError):
                send_frame(sock, notice)

    def _host(self, sock: socket.socket, client: str) -> None:
        while True:
            request, payload = receive_frame(sock)
            data = b""
            try:
                reply, data = self._requests.answer(request, payload, client)
            except OSError as error:
                reply = {"os_error": [error.errno, error.strerror, error.filename]}
            except HilError as error:
                reply = {"error": errors.to_dict(error)}
            except (KeyError, TypeError, ValueError) as error:
                reply = {"os_error": [errno.EINVAL, f"the machine does not understand this request: {error!r}", None]}
            send_frame(sock, reply, data)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
