"""What tests of simulated faults share: draws as a score takes them, and how long copies take on a machine."""

from __future__ import annotations

import random
from contextlib import contextmanager

from sim_rig import MIB, Rig

from hil import registry
from hil.model import Direction
from hil.sim import profile
from hil.sim.faults import choice
from hil.sim.faults.base import Fault
from hil.sim.machine import Machine

LINUX, MAC = "linux-two-enclosures", "macbook-pro-usb4"
PCI = "/sys/bus/pci/devices"
GPU = "0000:04:00.0"
"""The first card of `LINUX`."""


def kind(name: str) -> type[Fault]:
    return registry.load(choice.GROUP, name)


def draws(name: str) -> list[str]:
    """The twenty draws of a fault, as on the command line."""
    dice = random.Random(7)  # noqa: S311  (reproducible, not secret)
    found = [kind(name).draw(i / 19, dice) for i in range(20)]
    return [f"{name}:" + ",".join(f"{key}={value}" for key, value in drawn.items()) for drawn in found]


def machine_of(name: str, *faults: str) -> Machine:
    return Machine(profile.load(name), lambda site: [choice.make(text, site) for text in faults])


@contextmanager
def opened(rig: Rig, target: str = "0"):
    """An engine with as large a buffer on each side."""
    engine = rig.engine(target)
    nbytes = 16 * MIB
    yield engine, engine.host_alloc(nbytes), engine.alloc(nbytes)
    engine.close()


def seconds(rig: Rig, direction: Direction = Direction.H2D, *, copies: int = 1, target: str = "0") -> float:
    """Seconds of the machine's clock that copies of 16 MiB take, all submitted before the first is waited for."""
    nbytes = 16 * MIB
    with opened(rig, target) as (engine, here, there):
        other = engine.alloc(nbytes)
        begin = rig.machine.clock.now()
        for _ in range(copies):
            if direction is Direction.H2D:
                engine.upload(there, here, nbytes)
            elif direction is Direction.D2H:
                engine.download(here, there, nbytes)
            else:
                engine.move(other, there, nbytes)
        engine.synchronize()
        return rig.machine.clock.now() - begin


def said(rig: Rig) -> list[str]:
    """The kernel log."""
    return [line.text for line in rig.machine.lines]


def text(rig: Rig, path: str) -> str:
    return rig.do(rig.machine.tree.read, path).decode().strip()
