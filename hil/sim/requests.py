"""What a `SimulatedHost` asks of its machine, request by request: files, commands, log, clock."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from hil import errors
from hil.errors import HilError
from hil.hosts.base import Completed
from hil.model import to_dict
from hil.sim.clock import Actor
from hil.sim.faults.base import CommandRun
from hil.sim.machine import Machine
from hil.sim.nvml import Nvml
from hil.sim.serial import SerialPorts
from hil.sim.usb import Usb

Request = dict[str, Any]
Answer = tuple[Request, bytes, float]
"""Reply, payload, and the seconds that it takes."""
_NOTHING: Answer = ({}, b"", 0.0)


def refusal(error: OSError | HilError) -> Request:
    """A reply that says why there is none."""
    if isinstance(error, OSError):
        return {"os_error": [error.errno, error.strerror, error.filename]}
    return {"error": errors.to_dict(error)}


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
            "now": lambda _request, _payload: ({"now": machine.host_time()}, b"", 0.0),
            "facts": lambda _request, _payload: ({"facts": to_dict(machine.facts())}, b"", 0.0),
            "read": self._read,
            "read_many": self._read_many,
            "pread": self._pread,
            "write": self._write,
            "pwrite": self._pwrite,
            "list": lambda request, _payload: ({"names": machine.tree.list(request["path"])}, b"", 0.0),
            "stat": lambda request, _payload: ({"stat": to_dict(machine.tree.stat(request["path"]))}, b"", 0.0),
            "readlink": lambda request, _payload: ({"target": machine.tree.readlink(request["path"])}, b"", 0.0),
            "kernel_log": self._kernel_log,
            "run": self._run,
            "nvml": Nvml(machine).request,
            "usb": Usb(machine).request,
            "serial": SerialPorts(machine).request,
        }

    def answer(self, request: Request, payload: bytes, client: str) -> tuple[Request, bytes]:
        """Do what `client` asks, and let it spend the time that takes.

        Raises:
            OSError: as a kernel would.
            LookupError, TypeError, ValueError: the request is none.
            HilError: the machine failed.
            Disconnected: the client or the machine is gone.

        """
        clock, do = self._machine.clock, request["do"]
        clock.check(client)
        if do == "sleep":
            clock.sleep(client, float(request["seconds"]))
            return {}, b""
        if do == "begin":
            with clock.lock:
                self._machine.absence.wait(client)  # nothing begins on a host that is not there
            pid = int(request["pid"])
            clock.begin(client, request["name"], float(request["deadline"]), lambda actor: self._expired(actor, pid))
            return {}, b""
        if do == "end":
            clock.end(client)
            return {}, b""
        if do not in self._table:
            raise ValueError(f"no request {do!r}")
        site, seconds = self._machine.site, 0.0
        site.taken()  # what no request is to blame for
        try:
            with clock.lock:
                self._machine.absence.wait(client)
                reply, data, seconds = self._table[do](request, payload)
        finally:
            if seconds := seconds + site.taken():
                what = request.get("path") or request.get("function") or " ".join(request.get("argv", ()))
                clock.sleep(client, seconds, f"{do} {what}")
        return reply, data

    def _read(self, request: Request, _: bytes) -> Answer:
        return {}, self._file(request["path"]), 0.0

    def _read_many(self, request: Request, _: bytes) -> Answer:
        files: list[Request] = []
        contents = []
        for path in request["paths"]:
            try:
                content = self._file(path)
            except (OSError, HilError) as error:
                files.append(refusal(error))
            else:
                files.append({"size": len(content)})
                contents.append(content)
        return {"files": files}, b"".join(contents), 0.0

    def _file(self, path: str) -> bytes:
        content: bytes = self._machine.hooks.change("file_read", path, value=self._machine.tree.read(path))
        return content

    def _pread(self, request: Request, _: bytes) -> Answer:
        path, size, offset = request["path"], request["size"], request["offset"]
        if size < 0 or offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        data = self._machine.tree.pread(path, size, offset)
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
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        run = CommandRun(*found)
        self._machine.hooks.tell("command", run)
        completed, seconds = run.completed, run.seconds
        if seconds > timeout:
            completed, seconds = Completed(argv=tuple(argv), returncode=None, stdout=b"", stderr=b""), timeout
        head = {"returncode": completed.returncode, "stdout_bytes": len(completed.stdout)}
        return head, completed.stdout + completed.stderr, seconds
