"""A small workload that reads a buffer again and again: resident in VRAM, or sent anew; and what to expect of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from hil.model import Direction
from hil.throughput.copies import check, copier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.copy.base import CopyEngine
    from hil.hosts.base import Clock
    from hil.throughput.residency import Residency

READS = (1, 4, 16, 64)
"""How often the buffer is read."""
TRAFFIC = 2
"""Bytes of memory traffic for each byte of a pass: a D2D copy reads it and writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """Seconds of the workload on the host's clock, for each number of reads."""

    nbytes: int
    reads: tuple[int, ...]
    resident: tuple[float, ...]
    """The buffer sent once, then read."""
    streamed: tuple[float, ...]
    """The buffer sent before each read."""

    @property
    def sending(self) -> float:
        """Seconds that sending once takes: of the line through `resident`, where it meets no reads."""
        return self._line()[0]

    @property
    def reading(self) -> float:
        """Seconds of one read: the line's slope."""
        return self._line()[1]

    def break_even(self, unified: float) -> float | None:
        """Reads from which the resident workload beats one in host memory of `unified` bytes/s, as measured.

        `None` where it never does: a read on the device is no faster than one there.
        """
        gain = TRAFFIC * self.nbytes / unified - self.reading
        return self.sending / gain if gain > 0 else None

    def _line(self) -> tuple[float, float]:
        # From the outermost points: the number of reads is exact, and the two ends tell offset and slope best.
        first, last = 0, len(self.reads) - 1
        slope = (self.resident[last] - self.resident[first]) / (self.reads[last] - self.reads[first])
        return max(self.resident[first] - self.reads[first] * slope, 0.0), slope


def measure_reuse(
    engine: CopyEngine, clock: Clock, nbytes: int, *, reads: Sequence[int] = READS, rounds: int = 3
) -> Reused:
    """Run the workload for each of `reads`, resident and streamed; the median of `rounds` each, after one to warm up.

    A read is a D2D copy: every engine has it, and no kernel has to be built. It is bound by memory as a product of a
    matrix with a vector is.

    Raises:
        As `hil.throughput.sample`.

    """
    check(engine, (Direction.H2D, Direction.D2D), nbytes, rounds, 0)
    if len(set(reads)) < 2:  # noqa: PLR2004  (a line needs two points)
        raise ValueError(f"`reads` must hold two different numbers, not {tuple(reads)}")
    with ExitStack() as stack:
        send = copier(engine, Direction.H2D, nbytes, stack)
        read = copier(engine, Direction.D2D, nbytes, stack)

        def seconds(count: int, *, anew: bool) -> float:
            taken = []
            for _ in range(rounds + 1):
                began = clock.now()
                for number in range(count):
                    if anew or number == 0:
                        send(0)
                    read(0)
                engine.synchronize()
                taken.append(clock.now() - began)
            return median(taken[1:])

        return Reused(
            nbytes=nbytes,
            reads=tuple(reads),
            resident=tuple(seconds(count, anew=False) for count in reads),
            streamed=tuple(seconds(count, anew=True) for count in reads),
        )


def predicted_break_even(residency: Residency, nbytes: int) -> float | None:
    """Reads of a buffer of `nbytes` bytes, sent once, from which it is better off on the eGPU; `None` = never.

    Of the same workload as `measure_reuse`, from the fitted path and the memories' bandwidth alone.
    """
    if residency.gain <= 0:
        return None
    return residency.path.seconds(nbytes) / (TRAFFIC * nbytes * residency.gain)


def predicted_streamed(residency: Residency, nbytes: int, reads: int) -> float:
    """Seconds of `reads` reads of a buffer of `nbytes` bytes that is sent anew before each."""
    return reads * (residency.path.seconds(nbytes) + TRAFFIC * nbytes / residency.vram)
