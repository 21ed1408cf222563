"""Where chunks of copies land: in time, late, elsewhere than they were meant to, or nowhere."""

from __future__ import annotations

from collections import OrderedDict

from hil.model import Direction
from hil.sim.copies import Copy
from hil.sim.faults.base import Chunk
from hil.sim.machine import Machine
from hil.sim.memory import SharedMemory

REMEMBERED = 1 << 12
"""Copies of which a chunk that a fault holds back may still land."""


class Arrivals:
    """The far end of a machine's copies, as far as faults look at them. Called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._recent: OrderedDict[int, Copy] = OrderedDict()

    def expect(self, copy: Copy) -> None:
        """Remember where the chunks of `copy` go."""
        self._recent[copy.number] = copy
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    def arrive(self, chunk: Chunk) -> None:
        """Put `chunk` where it goes; what falls outside, or whose destination is gone, is lost."""
        target, start, end = self._target(chunk)
        if start >= end:
            return
        data = chunk.data[start - chunk.destination : end - chunk.destination]
        if chunk.direction is Direction.D2H:
            target.write(start, data)
        else:
            self._machine.vram_write(self._machine.gpus[chunk.gpu], start, data)

    def held(self, chunk: Chunk) -> bytes:
        """What the place that `chunk` goes to holds now, as far as there is one."""
        target, start, end = self._target(chunk)
        return bytes(target.view[start:end]) if start < end else b""

    def _target(self, chunk: Chunk) -> tuple[SharedMemory, int, int]:
        """The memory that `chunk` goes to, and where in it; nowhere (an empty range) if that is gone."""
        copy = self._recent.get(chunk.copy)
        gpu = self._machine.gpus[chunk.gpu]
        memory = gpu.memory
        there = copy is not None and gpu.reachable and (gpu is not copy.gpu or gpu.generation == copy.generation)
        if chunk.direction is Direction.D2H and copy is not None:
            memory = copy.destination.memory
            there = copy.direction is Direction.D2H and not memory.closed
        start, end = max(chunk.destination, 0), min(chunk.destination + len(chunk.data), memory.size)
        return memory, start, end if there else 0
