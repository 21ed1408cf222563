"""Starting and steering a simulated machine's process from the controller."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

from hil.errors import BenchFault, UsageError
from hil.hosts.wires.frames import receive_frame, send_frame

START_SECONDS = 20.0
"""Real time after which a machine that has not said its address is given up; it takes 0.4 s."""
STOP_SECONDS = 5.0
"""Real time that a machine has to end when it is switched off; it takes 0.1 s."""
ANSWER_SECONDS = 20.0
"""Real time after which a machine that owes the controller an answer counts as gone; it takes 1 ms."""


class MachineProcess:
    """A simulated machine in a process of its own, private to this run: it stops when this object is closed or dies.

    Args:
        profile: name of a shipped profile, or a ``.toml`` file.
        faults: as on the command line, ``NAME[:key=value,…]``.

    """

    def __init__(self, profile: str, faults: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "hil.sim", profile, "--private"]
        for fault in faults:
            command += ["--fault", fault]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the process)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,
        )
        self._address = ""

    @property
    def address(self) -> str:
        """Where it listens; waits for it to be up.

        Raises:
            UsageError: the profile or a fault cannot be used.
            BenchFault: the process did not come up.

        """
        if not self._address:
            self._address = self._first_line()
        return self._address

    @property
    def pid(self) -> int:
        """Of the machine's process."""
        return self._process.pid

    def let_go(self) -> None:
        """Switch it off without waiting for its end: it puts itself away."""
        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def close(self) -> None:
        """Switch it off and wait for its end; bounded, whatever state it is in."""
        process = self._process
        self.let_go()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._complaints.close()

    def _first_line(self) -> str:
        out = self._process.stdout
        assert out is not None  # noqa: S101  (asked for above)
        ready, _, _ = select.select([out], [], [], START_SECONDS)
        line = out.readline() if ready else b""
        try:
            said = json.loads(line)
        except ValueError:
            raise BenchFault(self._obituary(in_time=bool(ready))) from None
        if "error" in said:
            self.close()
            raise UsageError(said["error"])
        return str(said["address"])

    def _obituary(self, *, in_time: bool) -> str:
        self._process.kill()
        code = self._process.wait()
        what = f"ended (status {code}) before it was up" if in_time else f"did not come up in {START_SECONDS:g} s"
        self._complaints.seek(0)
        text = self._complaints.read().decode(errors="replace").strip()
        self.close()
        return f"the simulated machine {what}: {text or 'it said nothing'}"


class ControlLine:
    """The controller's connection to a simulated machine.

    Args:
        address: of the machine.
        on_notice: called from a thread of its own with every ``{"notice": …}`` the machine sends: ``deadline``, an
            operation past its deadline, with client, pid, operation, deadline, now, blocked_in; ``down``, the host
            panicked and all connections to it broke, with the seconds until it is up again, and now.

    """

    def __init__(self, address: str, on_notice: Callable[[dict[str, Any]], None]) -> None:
        self._on_notice = on_notice
        self._replies: queue.Queue[dict[str, Any]] = queue.Queue()
        self._turn = threading.Lock()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.connect(address)
            hello = {
                "service": "control",
                "client": f"control-{os.getpid()}-{id(self):x}",
                "pid": os.getpid(),
            }
            send_frame(self._sock, hello)
            receive_frame(self._sock)
        except (OSError, EOFError, ValueError) as error:
            self._sock.close()
            raise UsageError(f"no simulated machine answers at {address}: {error}") from error
        threading.Thread(target=self._listen, name="hil-control", daemon=True).start()

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Send one order and wait for its answer. Not from within `on_notice`, which runs in the thread that listens.

        Raises:
            BenchFault: the machine is gone or refuses.

        """
        with self._turn:
            try:
                send_frame(self._sock, {"do": do, **order})
                reply = self._replies.get(timeout=ANSWER_SECONDS)
            except OSError as error:
                raise BenchFault(f"the simulated machine is gone: {error}", operation=do) from error
            except queue.Empty:
                raise BenchFault(f"the simulated machine has not answered {do} in {ANSWER_SECONDS:g} s") from None
        if "error" in reply:
            raise BenchFault(f"the simulated machine: {reply['error']}", operation=do)
        return reply

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _listen(self) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, ValueError):
                while True:
                    message, _ = receive_frame(self._sock)
                    if "reply" in message:
                        self._replies.put(message["reply"])
                    else:
                        self._on_notice(message)
        finally:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)  # who asks from now on is told at once
            self._replies.put({"error": "its connection closed"})
