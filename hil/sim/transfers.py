"""Copies in virtual time: pieces on the timelines of links and memory; concurrent copies share, full duplex is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hil.hosts.wires.driver import Status
from hil.model import GB, Direction
from hil.sim.faults.base import Chunk, Completion
from hil.sim.machine import Machine, SimGpu
from hil.sim.memory import SharedMemory

PAGEABLE_FACTOR = 0.55
"""Share of the pinned rate that a copy from or to pageable memory reaches: each piece is staged first."""
PAGEABLE_LATENCY = 9e-6
"""Seconds that staging adds to a copy."""


class Place(NamedTuple):
    """One end of a copy: a card's memory, or a host buffer."""

    memory: SharedMemory
    start: int
    """Of the first byte: a device address, or an offset in the buffer."""
    pitch: int
    """Bytes from row to row."""
    pinned: bool = True


class Piece(NamedTuple):
    """What crosses the link at a time."""

    row: int
    offset: int
    length: int


@dataclass(eq=False, slots=True)
class Copy:
    """A submitted copy."""

    number: int
    gpu: SimGpu
    direction: Direction
    stream: int
    source: Place
    destination: Place
    row_bytes: int
    rows: int
    done: Callable[[Status], None]
    """Called once, when it is complete or has failed."""
    aborted: bool = False
    pieces: Iterator[Piece] = field(default_factory=lambda: iter(()))

    def cut(self, size: int) -> Iterator[Piece]:
        """Its pieces of at most `size` bytes, in order."""
        for row in range(self.rows):
            for offset in range(0, self.row_bytes, size):
                yield Piece(row, offset, min(size, self.row_bytes - offset))


class Lane:
    """One direction of a link, or a card's memory: serves its copies a piece at a time, in turn."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._queue: deque[Copy] = deque()
        self._busy = False

    def enter(self, copy: Copy) -> None:
        """Let `copy` take part."""
        self._queue.append(copy)
        self._serve()

    def _serve(self) -> None:
        while self._queue and not self._busy:
            copy = self._queue.popleft()
            piece = None if copy.aborted else next(copy.pieces, None)
            if copy.aborted:
                continue
            if piece is None:
                self._transfers.complete(copy)
                continue
            arriving = self._transfers.send(copy, piece)
            if not copy.aborted:  # what is sent may pull the cable
                self._occupy(copy, piece, arriving)

    def _occupy(self, copy: Copy, piece: Piece, arriving: list[Chunk] | None) -> None:
        seconds = piece.length / self._transfers.rate(copy) + sum(chunk.delay for chunk in arriving or ())
        self._busy = True

        def arrive() -> None:
            self._busy = False
            if not copy.aborted:
                self._transfers.land(copy, piece, arriving)
                # Behind all others that wait: copies on one lane take turns, so that they share its bandwidth.
                self._queue.append(copy)
            self._serve()

        self._transfers.machine.clock.at(seconds, arrive)


class Transfers:
    """All copies of one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._lanes: dict[tuple[str, Direction], Lane] = {}
        self._copies = 0

    def submit(self, copy: Copy) -> None:
        """Start `copy` after its latency."""
        self._copies += 1
        copy.number = self._copies
        copy.pieces = copy.cut(self.machine.hooks.chunk_bytes)
        latency = copy.gpu.spec.latency_us * 1e-6
        if not (copy.source.pinned and copy.destination.pinned):
            latency += PAGEABLE_LATENCY
        lane = self._lane(copy.gpu, copy.direction)
        self.machine.clock.at(latency, lambda: None if copy.aborted else lane.enter(copy))

    def complete(self, copy: Copy) -> None:
        """All of `copy` has landed: tell, unless the news is lost."""
        completion = Completion(gpu=copy.gpu.index, copy=copy.number, stream=copy.stream)
        self.machine.hooks.tell("completion", completion)
        if completion.lost:
            return

        def tell() -> None:
            if not copy.aborted:
                copy.aborted = True
                copy.done(Status(completion.status))

        if completion.delay:
            self.machine.clock.at(completion.delay, tell)
        else:
            tell()

    def rate(self, copy: Copy) -> float:
        """bytes/s that one copy alone gets now."""
        spec = copy.gpu.spec
        rates = {Direction.H2D: spec.h2d, Direction.D2H: spec.d2h, Direction.D2D: spec.vram_gb_s * GB / 2}
        rate = rates[copy.direction]
        if not (copy.source.pinned and copy.destination.pinned):
            rate *= PAGEABLE_FACTOR
        return self.machine.hooks.change("bandwidth", copy.gpu.index, copy.direction, value=rate)

    def send(self, copy: Copy, piece: Piece) -> list[Chunk] | None:
        """What arrives of `piece`; `None` = itself, untouched: its bytes need not be looked at."""
        if not self.machine.hooks.touches_bytes():
            return None
        start = copy.source.start + piece.row * copy.source.pitch + piece.offset
        if copy.direction is Direction.H2D:
            data = bytes(copy.source.memory.view[start : start + piece.length])
        else:
            data = self.machine.vram_read(copy.gpu, start, piece.length)
        chunk = Chunk(
            gpu=copy.gpu.index,
            direction=copy.direction,
            copy=copy.number,
            stream=copy.stream,
            row=piece.row,
            offset=piece.offset,
            destination=copy.destination.start + piece.row * copy.destination.pitch + piece.offset,
            data=data,
            total=copy.row_bytes * copy.rows,
        )
        return self.machine.hooks.spread("chunk", chunk)

    def land(self, copy: Copy, piece: Piece, arriving: list[Chunk] | None) -> None:
        """Put what arrived where it goes."""
        target = copy.destination.memory
        if arriving is None:
            source = copy.source.start + piece.row * copy.source.pitch + piece.offset
            start = copy.destination.start + piece.row * copy.destination.pitch + piece.offset
            target.view[start : start + piece.length] = copy.source.memory.view[
                source : source + piece.length
            ]
            return
        for chunk in arriving:
            if copy.direction is Direction.D2H:
                room = max(target.size - chunk.destination, 0)
                data = chunk.data[:room]
                target.view[chunk.destination : chunk.destination + len(data)] = data
            else:
                self.machine.vram_write(copy.gpu, chunk.destination, chunk.data)

    def _lane(self, gpu: SimGpu, direction: Direction) -> Lane:
        # Enclosures on one port share its tunnel; a card's own memory it has for itself.
        shared = direction is not Direction.D2D and gpu.enclosure is not None
        key = f"port {gpu.enclosure.port}" if shared and gpu.enclosure is not None else f"gpu {gpu.index}"
        return self._lanes.setdefault((key, direction), Lane(self))
