"""What a `SimulatedHost` asks of its machine, request by request: files, commands, log, clock."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hil.hosts.base import Completed
from hil.model import to_dict
from hil.sim.clock import Actor
from hil.sim.faults.base import CommandRun
from hil.sim.machine import Machine

Request = dict[str, Any]
Answer = tuple[Request, bytes, float]
"""Reply, payload, and the seconds that it takes."""
_NOTHING: Answer = ({}, b"", 0.0)


class Requests:
    """Answers the requests of all clients of one machine.

    Args:
        machine: that is asked.
        expired: told of an actor past its deadline, and the process id of its client.

    """

    def __init__(self, machine: Machine, expired: Callable[[Actor, int], None]) -> None:
        self._machine = machine
        self._expired = expired
        self._table: dict[str, Callable[[Request, bytes], Answer]] = {
            "now": lambda _request, _payload: ({"now": self._now()}, b"", 0.0),
            "facts": lambda _request, _payload: ({"facts": to_dict(machine.facts())}, b"", 0.0),
            "read": self._read,
            "pread": self._pread,
            "write": self._write,
            "pwrite": self._pwrite,
            "list": lambda request, _payload: ({"names": machine.tree.list(request["path"])}, b"", 0.0),
            "stat": lambda request, _payload: ({"stat": to_dict(machine.tree.stat(request["path"]))}, b"", 0.0),
            "readlink": lambda request, _payload: ({"target": machine.tree.readlink(request["path"])}, b"", 0.0),
            "kernel_log": self._kernel_log,
            "run": self._run,
        }

    def answer(self, request: Request, payload: bytes, client: str) -> tuple[Request, bytes]:
        """Do what `client` asks, and let it spend the time that takes.

        Raises:
            OSError: as a kernel would.
            KeyError, TypeError, ValueError: the request is none.

        """
        clock, do = self._machine.clock, request["do"]
        if do == "sleep":
            clock.sleep(client, float(request["seconds"]))
            return {"now": self._now()}, b""
        if do == "begin":
            pid = int(request["pid"])
            clock.begin(client, request["name"], float(request["deadline"]), lambda actor: self._expired(actor, pid))
            return {}, b""
        if do == "end":
            clock.end(client)
            return {}, b""
        if do not in self._table:
            raise ValueError(f"no request {do!r}")
        with clock.lock:
            reply, data, seconds = self._table[do](request, payload)
        if seconds:
            clock.sleep(client, seconds, f"{do} {request.get('path') or ' '.join(request.get('argv', ()))}")
        return reply, data

    def _now(self) -> float:
        return self._machine.hooks.change("host_clock", value=self._machine.clock.now())

    def _read(self, request: Request, _: bytes) -> Answer:
        path = request["path"]
        return {}, self._machine.hooks.change("file_read", path, value=self._machine.tree.read(path)), 0.0

    def _pread(self, request: Request, _: bytes) -> Answer:
        path = request["path"]
        data = self._machine.tree.pread(path, request["size"], request["offset"])
        return {}, self._machine.hooks.change("file_read", path, value=data), 0.0

    def _write(self, request: Request, payload: bytes) -> Answer:
        changed = self._machine.hooks.change_or_drop("file_write", request["path"], value=payload)
        return _NOTHING if changed is None else ({}, b"", self._machine.tree.write(request["path"], changed))

    def _pwrite(self, request: Request, payload: bytes) -> Answer:
        changed = self._machine.hooks.change_or_drop("file_write", request["path"], value=payload)
        count = len(payload)
        if changed is not None:
            count = self._machine.tree.pwrite(request["path"], changed, request["offset"])
        return {"count": count}, b"", 0.0

    def _kernel_log(self, request: Request, _: bytes) -> Answer:
        return {"lines": [to_dict(line) for line in self._machine.lines if line.time >= request["since"]]}, b"", 0.0

    def _run(self, request: Request, _: bytes) -> Answer:
        argv, timeout = [str(part) for part in request["argv"]], float(request["timeout"])
        found = self._machine.face.run(argv)
        if found is None:
            raise FileNotFoundError(2, os.strerror(2), argv[0])
        run = CommandRun(*found)
        self._machine.hooks.tell("command", run)
        completed, seconds = run.completed, run.seconds
        if seconds > timeout:
            completed, seconds = Completed(argv=tuple(argv), returncode=None, stdout=b"", stderr=b""), timeout
        head = {"returncode": completed.returncode, "stdout_bytes": len(completed.stdout)}
        return head, completed.stdout + completed.stderr, seconds
