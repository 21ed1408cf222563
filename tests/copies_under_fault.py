"""Copies of seeded data on a simulated machine with faults: what lies in and around their destination afterwards."""

from __future__ import annotations

import functools
import random

from sim_rig import Rig

from hil.model import Direction
from hil.sim.faults.base import Fault

H2D, D2H, D2D = Direction.H2D, Direction.D2H, Direction.D2D
HEAP = 64 << 20
"""Where the first allocation lies."""
MARGIN = 4096
"""Bytes before and behind a copy's two ends."""


@functools.cache
def data_of(nbytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(nbytes)  # noqa: S311  (seeded)


def old_of(nbytes: int) -> bytes:
    """What a destination held before, with its margins."""
    return data_of(nbytes + 2 * MARGIN, seed=99)


def fault(rig: Rig) -> Fault:
    return rig.machine.hooks.faults[0]


def carried(rig: Rig, direction: Direction, data: bytes, *, copies: int = 1) -> bytes:
    """The destination with its margins after `data` was copied into what held `old_of`."""
    old, nbytes = old_of(len(data)), len(data)
    engine = rig.engine()
    here = engine.host_alloc(len(old))
    source, target = engine.alloc(len(old)), engine.alloc(len(old))
    inside = {"src_offset": MARGIN, "dst_offset": MARGIN}
    with rig.machine.clock.lock:
        rig.machine.site.poke(0, source.address + MARGIN, data)
        rig.machine.site.poke(0, target.address, old)
    here.view[:] = old
    for _ in range(copies):
        if direction is H2D:
            here.view[MARGIN : MARGIN + nbytes] = data
            engine.upload(target, here, nbytes, **inside)
        elif direction is D2H:
            engine.download(here, source, nbytes, **inside)
        else:
            engine.move(target, source, nbytes, **inside)
        engine.synchronize()
    found = bytes(here.view) if direction is D2H else rig.do(rig.machine.site.peek, 0, target.address, len(old))
    engine.close()
    return found


def intact(data: bytes) -> bytearray:
    """What the destination holds where nothing goes wrong."""
    whole = bytearray(old_of(len(data)))
    whole[MARGIN:-MARGIN] = data
    return whole


def reset(rig: Rig) -> None:
    """Begin a reset of the first card."""
    card = rig.machine.gpus[0].function
    rig.do(lambda: rig.machine.reset(card, "flr", restores_config=True))
