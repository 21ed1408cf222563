"""Faults of memory and its bookkeeping that do not come with hil: ``--hil-fault tests/foreign_memory.py:Class``."""

from __future__ import annotations

from collections.abc import Sequence

from hil.model import KIB, Direction
from hil.sim.faults.base import (
    Chunk,
    Completion,
    DriverAnswer,
    DriverCall,
    Fault,
    Identity,
    ResetPlan,
    SleepPlan,
    Submission,
)

PAGE = 4 * KIB


def flipped(data: bytes) -> bytes:
    """`data` with the lowest bit of the first byte turned."""
    return bytes([data[0] ^ 1]) + data[1:] if data else data


class MovesLeak(Fault):
    """Memory that something was moved to within the device takes a page with it when it is freed."""

    name, domain, story, seen_by = "moves-leak", "driver", "The engine's semaphore is not freed.", "driver"
    targets: frozenset[int] = frozenset()

    def on_submit(self, submission: Submission) -> None:
        if submission.direction is Direction.D2D:
            self.targets |= {submission.destination}

    def on_free(self, gpu: int, address: int, nbytes: int) -> bool:
        if any(address <= target < address + nbytes for target in self.targets) and self.strikes(gpu):
            self.site.leak(gpu, 64 * KIB)
        self.targets = frozenset(t for t in self.targets if not address <= t < address + nbytes)
        return True


class RowsLeak(MovesLeak):
    """The same, of rows alone."""

    name = "rows-leak"

    def on_submit(self, submission: Submission) -> None:
        if submission.rows > 1:
            super().on_submit(submission)


class FreedNotWiped(Fault):
    """What is freed by a call is not wiped; what its owner's end frees is."""

    name, domain, story, seen_by = "freed-not-wiped", "driver", "A path of its own, without the wipe.", "driver"
    freeing = False

    def on_driver_call(self, call: DriverCall) -> None:
        self.freeing = call.name == "free"

    def on_driver_answer(self, answer: DriverAnswer) -> None:
        self.freeing = False

    def on_scrub(self, gpu: int, address: int, nbytes: int) -> bool:
        return not (self.freeing and self.strikes(gpu))


class ReadsDisturb(Fault):
    """Every 50th read of a page turns a bit in the page below it."""

    name, domain, story, seen_by = "reads-disturb", "memory", "Weak cells beside an open row.", "transfer"
    reads: int = 0
    last: int = -1

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        self.reads = self.reads + 1 if address == self.last else 1
        self.last = address
        below = address - len(data)
        if self.reads == 50 and below >= 0 and self.strikes(gpu):
            self.site.poke(gpu, below, flipped(self.site.peek(gpu, below, 1)))
        return data


class OnesElided(Fault):
    """Whole pages of ones are not written."""

    name, domain, story, seen_by = "ones-elided", "memory", "A compression's tag is lost.", "transfer"
    value = 0xFF

    def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
        constant = bytes([self.value]) * PAGE
        for at in range(-address % PAGE, len(data) - PAGE + 1, PAGE):
            if data[at : at + PAGE] == constant and self.strikes(gpu):
                data = data[:at] + self.site.peek(gpu, address + at, PAGE) + data[at + PAGE :]
        return data


class ZerosElided(OnesElided):
    """Whole pages of zeros are not written."""

    name, value = "zeros-elided", 0


class PageableRowsBent(Fault):
    """Rows that go down into pageable memory lose a bit each."""

    name, domain, story, seen_by = "pageable-rows-bent", "dma", "They leave staging wrong.", "transfer"
    bent: frozenset[int] = frozenset()

    def on_submit(self, submission: Submission) -> None:
        if not submission.pinned and submission.rows > 1 and submission.direction is Direction.D2H:
            self.bent |= {submission.copy}

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        if chunk.copy in self.bent and self.strikes(chunk.gpu):
            chunk.data = flipped(chunk.data)
        return (chunk,)


class AllocationsDisturb(Fault):
    """A copy that is under way while memory is allocated loses a bit."""

    name, domain, story, seen_by = "allocations-disturb", "dma", "A translation is flushed in use.", "transfer"
    under_way: frozenset[int] = frozenset()
    due: bool = False

    def on_submit(self, submission: Submission) -> None:
        self.under_way |= {submission.copy}

    def on_completion(self, completion: Completion) -> None:
        self.under_way -= {completion.copy}
        self.due = False

    def on_driver_call(self, call: DriverCall) -> None:
        self.due |= call.name == "alloc" and bool(self.under_way)

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        if self.due and chunk.data and self.strikes(chunk.gpu):
            chunk.data, self.due = flipped(chunk.data), False
        return (chunk,)


class AllocationsClearBelow(Fault):
    """An allocation of less than a page clears the page below it, too."""

    name, domain, story, seen_by = "allocations-clear-below", "memory", "A start is rounded down.", "transfer"

    def on_driver_answer(self, answer: DriverAnswer) -> None:
        call = answer.call
        small = call.name == "alloc" and answer.status == 0 and call.arguments[0] < PAGE
        if small and answer.results[0] >= PAGE and self.strikes(call.gpu):
            self.site.poke(call.gpu or 0, answer.results[0] - PAGE, bytes(PAGE))


class LateStaging(Fault):
    """Pageable copies lose a bit in the first seconds after an attach, a reset or a wake."""

    name, domain, story, seen_by = "late-staging", "dma", "Staging is mapped anew too late.", "transfer"
    until = float("-inf")
    affected: frozenset[int] = frozenset()

    def on_attach(self, identity: Identity) -> None:
        self.until = self.site.now() + identity.seconds + 3.0

    def on_reset(self, plan: ResetPlan) -> None:
        self.until = self.site.now() + 3.0

    def on_sleep(self, plan: SleepPlan) -> None:
        self.until = self.site.now() + plan.seconds + plan.resume_seconds + 3.0

    def concerns(self, submission: Submission) -> bool:
        """Whether a copy is of the kind that goes wrong."""
        return not submission.pinned

    def on_submit(self, submission: Submission) -> None:
        if self.concerns(submission) and self.site.now() < self.until:
            self.affected |= {submission.copy}

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        if chunk.copy in self.affected and self.strikes(chunk.gpu):
            chunk.data = flipped(chunk.data)
        return (chunk,)


class LateTables(LateStaging):
    """The same, of copies within the device."""

    name = "late-tables"

    def concerns(self, submission: Submission) -> bool:
        return submission.direction is Direction.D2D
