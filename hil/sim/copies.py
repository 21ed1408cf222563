"""What a copy is while it is under way: its two ends, and the pieces in which it moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hil.hosts.wires.driver import Status
from hil.model import Direction
from hil.sim.memory import SharedMemory
from hil.sim.parts import SimGpu
from hil.sim.timers import Timer


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
    generation: int = 0
    """The card's, when it was submitted."""
    behind: Copy | None = None
    """The one that its stream was still at, or was to come to, when this one was handed in."""
    repeats: bool = False
    """Whether `behind` has left, and nobody has touched since, what this one would bring."""
    seen: tuple[int, int] | None = None
    """`changes` of source and destination, as long as nobody but this copy has written to either."""
    share: float = 1.0
    """Of the path's rate that it gets."""
    looked_at: bool = False
    """Whether faults see its bytes, or change where it goes: they have to be looked at."""
    pinned: bool = field(init=False)
    left: int = field(init=False)
    """Bytes that have not landed."""
    pieces: Iterator[Piece] = field(default_factory=lambda: iter(()))
    pending: Timer | None = None
    """What happens to it next."""
    over: bool = False
    """Done, or aborted."""

    def __post_init__(self) -> None:
        self.left = self.row_bytes * self.rows
        self.pinned = self.source.pinned and self.destination.pinned

    def begin(self) -> None:
        """It starts: see whether it only repeats what `behind` did.

        Data that a copy still has to read must not change once it was handed in, so that the same copy twice in a queue
        brings the same bytes twice. The second time costs its time, but nobody could tell whether they were moved.
        """
        earlier, self.behind = self.behind, None
        ends = self.source, self.destination, self.row_bytes, self.rows
        apart = self.source.memory is not self.destination.memory
        if self.looked_at:
            return
        self.seen = self.changes()
        if apart and earlier is not None and earlier.seen == self.seen:
            self.repeats = ends == (earlier.source, earlier.destination, earlier.row_bytes, earlier.rows)

    def changes(self) -> tuple[int, int]:
        """How often source and destination were written to."""
        return self.source.memory.changes, self.destination.memory.changes

    def on_device(self) -> list[int]:
        """Device addresses at which it begins."""
        return [place.start for place in (self.source, self.destination) if place.memory is self.gpu.memory]

    def cut(self, size: int) -> Iterator[Piece]:
        """Its pieces of at most `size` bytes, in order; from the end where it would else overwrite its own source."""
        step = -1 if self._is_uphill() else 1
        for row in range(self.rows)[::step]:
            for offset in range(0, self.row_bytes, size)[::step]:
                yield Piece(row, offset, min(size, self.row_bytes - offset))

    def _is_uphill(self) -> bool:
        source, destination = self.source, self.destination
        end = source.start + source.pitch * (self.rows - 1) + self.row_bytes
        return source.memory is destination.memory and source.start < destination.start < end
