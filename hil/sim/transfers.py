"""Copies in virtual time: pieces on the timelines of links and memory; concurrent copies share, full duplex is full."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hil.hosts.wires.driver import Status
from hil.model import GB, Direction
from hil.sim.faults.base import Chunk, Completion, Training
from hil.sim.machine import Machine, SimGpu
from hil.sim.memory import SharedMemory
from hil.sim.timers import Timer

PAGEABLE_FACTOR = 0.55
"""Share of the pinned rate that a copy from or to pageable memory reaches: each piece is staged first."""
PAGEABLE_LATENCY = 9e-6
"""Seconds that staging adds to a copy."""
PAYLOAD = 128 / 152
"""Share of a PCIe link's bytes that is payload: 128 in a packet, which has 24 of header, checks and framing."""


class Place(NamedTuple):
    """One end of a copy: a card's memory, or a host buffer."""

    memory: SharedMemory
    start: int
    """Of the first byte: a device address, or an offset in the buffer."""
    pitch: int
    """Bytes from row to row."""
    pinned: bool = True

    def at(self, piece: Piece) -> int:
        """Where `piece` begins."""
        return self.start + piece.row * self.pitch + piece.offset


class Piece(NamedTuple):
    """What crosses the link at a time."""

    row: int
    offset: int
    length: int


@dataclass(eq=False, slots=True)
class Copy:
    """A submitted copy."""

    gpu: SimGpu
    direction: Direction
    stream: int
    source: Place
    destination: Place
    row_bytes: int
    rows: int
    done: Callable[[Status], None]
    """Called once, when it is complete or has failed; never after `Transfers.abort`."""
    number: int = 0
    """Since the machine was switched on."""
    left: int = field(init=False)
    """Bytes that have not landed."""
    pieces: Iterator[Piece] = field(default_factory=lambda: iter(()))
    pending: Timer | None = None
    """What happens to it next."""
    over: bool = False
    """Done, or aborted."""

    def __post_init__(self) -> None:
        self.left = self.row_bytes * self.rows

    def on_device(self) -> list[int]:
        """Device addresses at which it begins."""
        return [place.start for place in (self.source, self.destination) if place.memory is self.gpu.memory]

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
        self._served: Copy | None = None

    def enter(self, copy: Copy) -> None:
        """Let `copy` take part."""
        if copy.left:
            self._queue.append(copy)
            self._serve()
        else:
            self._transfers.complete(copy)

    def leave(self, copy: Copy) -> None:
        """`copy` was aborted: what it has on the lane is gone, the others go on."""
        if self._served is copy:
            self._served = None
            self._serve()

    def _serve(self) -> None:
        while self._queue and self._served is None:
            copy = self._queue.popleft()
            if copy.over:
                continue
            piece = next(copy.pieces)
            arriving = self._transfers.send(copy, piece)
            if not copy.over:  # what is sent may pull the cable
                self._occupy(copy, piece, arriving)

    def _occupy(self, copy: Copy, piece: Piece, arriving: list[Chunk] | None) -> None:
        rate = self._transfers.rate(copy)
        seconds = piece.length / rate if rate > 0 else math.inf
        seconds += sum(chunk.delay for chunk in arriving or ())

        def arrive() -> None:
            self._served = None
            self._transfers.land(copy, piece, arriving)
            copy.left -= piece.length
            if not copy.over and copy.left:
                # Behind all others that wait: copies on one lane take turns, so that they share its bandwidth.
                self._queue.append(copy)
            elif not copy.over:
                self._transfers.complete(copy)
            self._serve()

        self._served = copy
        copy.pending = self._transfers.machine.clock.at(seconds, arrive)


class Transfers:
    """All copies of one machine. All methods are called with the machine's lock held."""

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
        lane = self._lane(copy)
        copy.pending = self.machine.clock.at(latency, lambda: lane.enter(copy))

    def abort(self, copy: Copy) -> None:
        """Let nothing more happen to `copy`; what has landed has landed. Nothing if it is over."""
        copy.over = True
        if copy.pending is not None:
            self.machine.clock.cancel(copy.pending)
            self._lane(copy).leave(copy)

    def complete(self, copy: Copy) -> None:
        """All of `copy` has landed: tell, unless the news is lost."""
        completion = Completion(gpu=copy.gpu.index, copy=copy.number, stream=copy.stream)
        self.machine.hooks.tell("completion", completion)
        if completion.lost or copy.over:
            return

        def tell() -> None:
            copy.over = True
            copy.done(Status(completion.status))

        if completion.delay > 0:
            copy.pending = self.machine.clock.at(completion.delay, tell)
        else:
            tell()

    def rate(self, copy: Copy) -> float:
        """bytes/s that one copy alone gets now."""
        spec = copy.gpu.spec
        if copy.direction is Direction.D2D:
            rate = spec.vram_gb_s * GB / 2
        else:
            rate = _carried(copy.gpu, spec.h2d if copy.direction is Direction.H2D else spec.d2h)
        if not (copy.source.pinned and copy.destination.pinned):
            rate *= PAGEABLE_FACTOR
        return self.machine.hooks.change("bandwidth", copy.gpu.index, copy.direction, value=rate)

    def send(self, copy: Copy, piece: Piece) -> list[Chunk] | None:
        """What arrives of `piece`; `None` = itself, untouched: its bytes need not be looked at."""
        if not self.machine.hooks.touches_bytes():
            return None
        start = copy.source.at(piece)
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
            destination=copy.destination.at(piece),
            data=data,
            total=copy.row_bytes * copy.rows,
        )
        return self.machine.hooks.spread("chunk", chunk)

    def land(self, copy: Copy, piece: Piece, arriving: list[Chunk] | None) -> None:
        """Put what arrived where it goes."""
        copy.gpu.thermal.moved(piece.length, copy.direction, self.machine.clock.now())
        target = copy.destination.memory
        if arriving is None:
            start = copy.source.at(piece)
            with copy.source.memory.view[start : start + piece.length] as data:
                target.write(copy.destination.at(piece), data)
            return
        for chunk in arriving:
            if copy.direction is not Direction.D2H:
                self.machine.vram_write(copy.gpu, chunk.destination, chunk.data)
            elif 0 <= chunk.destination < target.size:
                target.write(chunk.destination, chunk.data[: target.size - chunk.destination])

    def _lane(self, copy: Copy) -> Lane:
        # Enclosures on one port share its tunnel; a card's own memory it has for itself.
        gpu, direction = copy.gpu, copy.direction
        tunnelled = direction is not Direction.D2D and gpu.enclosure is not None
        key = f"port {gpu.enclosure.port}" if tunnelled and gpu.enclosure is not None else f"gpu {gpu.index}"
        return self._lanes.setdefault((key, direction), Lane(self))


def _carried(gpu: SimGpu, rate: float) -> float:
    """What is left of the path's `rate` (bytes/s) where a link on it trained to less than it can."""
    enclosure = gpu.enclosure
    if enclosure is None or enclosure.training is None or enclosure.best is None:
        return rate
    now, best = enclosure.training, enclosure.best
    rate *= now.lane_gbps * now.lanes / (best.lane_gbps * best.lanes)
    carried = _pcie_rate(now)
    return min(rate, carried) if carried < _pcie_rate(best) else rate


def _pcie_rate(training: Training) -> float:
    coding = 0.8 if training.pcie_gts < 8 else 128 / 130  # noqa: PLR2004  (8b/10b up to PCIe 2.0, from 3.0 128b/130b)
    return training.pcie_gts * 1e9 / 8 * coding * training.pcie_width * PAYLOAD
