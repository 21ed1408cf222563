"""Which blocks of a card's memory a test goes to: all of them, or a sample that every address bit is told apart by."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.errors import OutOfMemory
from hil.model import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hil.bench.operations.session import Session
    from hil.copy import DeviceBuffer

BLOCK = 256 * KIB
"""Bytes that are copied and checked at a time."""
PAGE = 2 * MIB
"""The largest page of NVIDIA's memory management: what is wrong by a page is wrong there."""
SPARED = 256 * MIB
"""Bytes of a card that are left to others: its own process, a display."""
LEAST = 64 * MIB
"""Allocations smaller than that are not made: what is left between larger ones is little."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of device memory."""

    buffer: DeviceBuffer
    offset: int
    nbytes: int
    address: int
    """Of its first byte in the device's memory; where the engine does not tell it, counted over all allocations."""

    def __str__(self) -> str:
        return f"the block at {self.address:#x}"


@contextmanager
def whole_card(work: Session) -> Iterator[list[tuple[DeviceBuffer, int]]]:
    """All memory that can be had, as allocations with the address of each; freed behind the block."""
    engine = work.engine
    held: list[DeviceBuffer] = []
    try:
        size = max((engine.memory()[0] - SPARED) // MIB, 1) * MIB
        while size >= LEAST or not held:
            try:
                held.append(engine.alloc(size))
            except OutOfMemory:
                if size <= MIB:
                    raise
                size = max(size // 2 // MIB, 1) * MIB
                continue
            size = min(size, (engine.memory()[0] - SPARED) // MIB * MIB)
        addresses, total = [], 0
        for buffer in held:
            told = engine.window(buffer)
            addresses.append(total if told is None else told)
            total += buffer.nbytes
        yield list(zip(held, addresses, strict=True))
    finally:
        for buffer in held:
            engine.free(buffer)


def blocks(memory: Sequence[tuple[DeviceBuffer, int]], *, budget: int | None, seed: int) -> list[Block]:
    """Blocks of `memory` to go to, in order of address, none over another.

    Args:
        memory: allocations and their addresses.
        budget: bytes of all blocks; `None` = everything.
        seed: of the sample.

    Returns:
        With a budget: both ends of each allocation; blocks whose addresses differ in one bit, for every bit; blocks
        below, across, above and between multiples of 2 MiB; and the rest of the budget anywhere.

    """
    if budget is None:
        return [
            Block(buffer, offset, min(32 * MIB, buffer.nbytes - offset), start + offset)
            for buffer, start in memory
            for offset in range(0, buffer.nbytes, 32 * MIB)
        ]
    # Random places fill little more than half of the memory without gaps between them: more is not asked for.
    budget = min(budget, sum(buffer.nbytes for buffer, _ in memory) // 2)
    dice = random.Random(seed)  # noqa: S311  (a sample, no secret)
    taken: dict[int, Block] = {}
    for address in _wanted(memory, dice):
        found = _at(memory, address)
        if found is not None and all(abs(other - found.address) >= BLOCK for other in _near(taken, found.address)):
            taken[found.address] = found
        if (len(taken) + 1) * BLOCK > budget:
            break
    return [taken[address] for address in sorted(taken)]


def _wanted(memory: Sequence[tuple[DeviceBuffer, int]], dice: random.Random) -> Iterator[int]:
    """Addresses of blocks, the most telling first; some lie outside of the memory."""
    for buffer, start in memory:
        yield start
        yield start + buffer.nbytes - BLOCK
    largest, start = max(memory, key=lambda one: one[0].nbytes)
    end = start + largest.nbytes
    top = (end - 1).bit_length()
    # From two anchors, so that each bit's two addresses both lie within one of them at least.
    for anchor in (1 << (top - 1), _round_up(start + largest.nbytes // 4, PAGE)):
        yield anchor
        yield from (anchor ^ 1 << bit for bit in range(BLOCK.bit_length() - 1, top))
    while True:
        buffer, start = dice.choice(memory)
        page = _round_up(start, PAGE) + PAGE * dice.randrange(max(buffer.nbytes // PAGE, 1))
        for offset in (-BLOCK, -BLOCK // 2 - 4096, 0, PAGE // 2):
            yield page + offset
        yield start + dice.randrange(max(buffer.nbytes - BLOCK, 0) // 4096 + 1) * 4096


def _near(taken: dict[int, Block], address: int) -> list[int]:
    """Addresses of blocks that may lie over one at `address`: they all lie at multiples of 4 KiB."""
    return [other for other in range(address - BLOCK + 4096, address + BLOCK, 4096) if other in taken]


def _at(memory: Sequence[tuple[DeviceBuffer, int]], address: int) -> Block | None:
    for buffer, start in memory:
        if start <= address <= start + buffer.nbytes - BLOCK:
            return Block(buffer, address - start, BLOCK, address)
    return None


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
