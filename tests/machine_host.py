"""A `Host` on a simulated machine in the same process, without sockets: as much as discovery asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from hil.errors import NotSupported
from hil.hosts.base import Completed
from hil.model import HostFacts
from hil.sim import profile
from hil.sim.machine import Machine


@dataclass
class MachineHost:
    machine: Machine
    kind: str = "simulated"

    def facts(self) -> HostFacts:
        return self.machine.facts()

    def read(self, path: str) -> bytes:
        return self.machine.tree.read(path)

    def list(self, path: str) -> list[str]:
        return self.machine.tree.list(path)

    def readlink(self, path: str) -> str:
        return self.machine.tree.readlink(path)

    def run(self, argv: Sequence[str], *, timeout: float) -> Completed:
        found = self.machine.face.run(argv)
        if found is None:
            raise FileNotFoundError(2, "No such file or directory", argv[0])
        completed, seconds = found
        assert seconds < timeout
        return completed

    def nvml(self) -> None:
        raise NotSupported("no NVML without a socket")

    def usb_backend(self) -> None:
        raise NotSupported("no USB without a socket")


def slotted(**card: object) -> Machine:
    """A workstation with its second card in a slot."""
    known = profile.load("linux-two-enclosures")
    internal = known.gpu[1].model_copy(update={"enclosure": "", **card})
    return Machine(known.model_copy(update={"gpu": (known.gpu[0], internal)}))


def text(machine: Machine, path: str) -> str:
    return machine.tree.read(path).decode()


def said(machine: Machine) -> list[str]:
    return [line.text for line in machine.lines]


def refusal(machine: Machine, path: str, data: bytes) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the errno is looked at)
        machine.tree.write(path, data)
    return caught.value.errno
