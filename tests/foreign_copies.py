"""Faults of copies and clocks that do not come with hil: ``--hil-fault tests/foreign_copies.py:Class``."""

from __future__ import annotations

from collections.abc import Sequence

from hil.model import MIB, Direction
from hil.sim.faults.base import Chunk, Completion, Departure, Fault, Identity, Submission


class DeviceClockSlow(Fault):
    """The device's clock loses a tenth."""

    name, domain, story, seen_by = "device-clock-slow", "driver", "A divider is set for another clock.", "driver"

    def on_device_clock(self, gpu: int, nanoseconds: int) -> int:
        return round(0.9 * nanoseconds) if self.strikes(gpu) else nanoseconds


class HostClockFast(Fault):
    """The host's clock gains a tenth."""

    name, domain, story, seen_by = "host-clock-fast", "host", "A timer was calibrated wrong.", "driver"

    def on_host_clock(self, seconds: float) -> float:
        return 1.1 * seconds if self.strikes() else seconds


class LongMovesCutOff(Fault):
    """Copies within the device end after six MiB."""

    name, domain, story, seen_by = "long-moves-cut-off", "dma", "The last descriptor is lost.", "transfer"

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        far = chunk.direction is Direction.D2D and chunk.position >= 6 * MIB
        return () if far and self.strikes(chunk.gpu) else (chunk,)


class StagingWraps(Fault):
    """Pageable copies begin anew after 32 MiB."""

    name, domain, story, seen_by = "staging-wraps", "dma", "A ring of staging buffers wraps too early.", "transfer"
    pageable: frozenset[int] = frozenset()

    def on_submit(self, submission: Submission) -> None:
        if not submission.pinned:
            self.pageable |= {submission.copy}

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        wraps = chunk.copy in self.pageable and chunk.position >= 32 * MIB
        return () if wraps and self.strikes(chunk.gpu) else (chunk,)


class RowsCounted(Fault):
    """The number of a copy's rows is cut to eight bits."""

    name, domain, story, seen_by = "rows-counted", "dma", "The engine's counter is narrow.", "transfer"

    def on_submit(self, submission: Submission) -> None:
        if submission.rows > 0xFF and self.strikes(submission.gpu):
            submission.rows &= 0xFF


class CopyStalls(Fault):
    """A copy in fifty is told 20 ms late."""

    name, domain, story, seen_by = "copy-stalls", "driver", "An interrupt is lost, and found by polling.", "throughput"

    def on_completion(self, completion: Completion) -> None:
        if self.strikes(completion.gpu, chance=0.02):
            completion.delay += 0.02


class SlowToWake(Fault):
    """The first copy after a second of rest takes 0.9 s."""

    name, domain, story, seen_by = "slow-to-wake", "link", "The tunnel needs several tries.", "throughput"
    last = float("-inf")

    def on_submit(self, submission: Submission) -> None:
        if self.site.now() > self.last + 1.0 and self.strikes(submission.gpu):
            submission.latency += 0.9
        self.last = self.site.now()


class WearyUnderLoad(Fault):
    """A bit flips once copies have gone on for 0.3 s without a rest."""

    name, domain, story, seen_by = "weary-under-load", "memory", "It gets too warm.", "driver"
    begun, last = 0.0, float("-inf")

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        now = self.site.now()
        self.begun, self.last = (self.begun if now < self.last + 0.05 else now), now
        if now > self.begun + 0.3 and chunk.data and self.strikes(chunk.gpu):
            chunk.data = bytes([chunk.data[0] ^ 1]) + chunk.data[1:]
        return (chunk,)


class CardsMixed(Fault):
    """A card's data go to the host as another's, where both send at once."""

    name, domain, story, seen_by = "cards-mixed", "dma", "Two cards share a staging buffer.", "transfer"
    before: Chunk | None = None
    at = float("-inf")

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        if chunk.direction is not Direction.D2H:
            return (chunk,)
        before, self.before = self.before, chunk
        last, self.at = self.at, self.site.now()
        other = before is not None and before.gpu != chunk.gpu and len(before.data) == len(chunk.data)
        if other and self.at < last + 0.002 and self.strikes(chunk.gpu):
            chunk.data = before.data
        return (chunk,)


class SpoiledByNeighbour(Fault):
    """While one enclosure is away, copies of the others lose a bit."""

    name, domain, story, seen_by = "spoiled-by-neighbour", "hot plug", "The IOMMU drops too much.", "driver"
    away = False

    def on_departure(self, departure: Departure) -> None:
        self.away = True

    def on_attach(self, identity: Identity) -> None:
        self.away = False

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        if self.away and chunk.data and self.strikes(chunk.gpu):
            chunk.data = bytes([chunk.data[0] ^ 1]) + chunk.data[1:]
        return (chunk,)
