"""Faults of rates that do not come with hil: ``--hil-fault tests/foreign_rates.py:Class``."""

from __future__ import annotations

from hil.model import Direction
from hil.sim.faults.base import Completion, Fault, Identity, ResetPlan, SleepPlan, Submission


class MovesOverTheBridge(Fault):
    """Copies within the device have a hundredth of the rate of its memory: more than that of its link."""

    name, domain, story, seen_by = "moves-over-the-bridge", "dma", "They go to the host and back.", "throughput"

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        return 0.01 * rate if direction is Direction.D2D and self.strikes(gpu) else rate


class MovesToldLate(Fault):
    """A copy within the device in 25 is told half a second late."""

    name, domain, story, seen_by = "moves-told-late", "driver", "An interrupt is lost.", "throughput"
    moves: frozenset[int] = frozenset()

    def on_submit(self, submission: Submission) -> None:
        if submission.direction is Direction.D2D:
            self.moves |= {submission.copy}

    def on_completion(self, completion: Completion) -> None:
        if completion.copy in self.moves and self.strikes(completion.gpu, chance=0.04):
            completion.delay += 0.5


class StagingUncached(Fault):
    """Copies from and to pageable memory have a twentieth of their rate."""

    name, domain, story, seen_by = "staging-uncached", "dma", "Staging memory is not cached.", "throughput"

    def slowed(self, submission: Submission) -> float:
        return 1.0 if submission.pinned else 0.05

    def on_submit(self, submission: Submission) -> None:
        share = self.slowed(submission)
        if share < 1.0 and self.strikes(submission.gpu):
            submission.share *= share


class RowsOneByOne(StagingUncached):
    """Pitched copies have a fiftieth of their rate."""

    name, story = "rows-one-by-one", "Each row is a descriptor, with an interrupt."

    def slowed(self, submission: Submission) -> float:
        return 0.02 if submission.rows > 1 else 1.0


class LinesOneByOne(StagingUncached):
    """Copies that begin off a line have a tenth of their rate."""

    name, story = "lines-one-by-one", "They are cut into single lines."

    def slowed(self, submission: Submission) -> float:
        return 0.1 if submission.source % 64 or submission.destination % 64 else 1.0


class OneAtATime(Fault):
    """While another card copies, too, a card has 0.4 of its rate."""

    name, domain, story, seen_by = "one-at-a-time", "host", "The IOMMU has one queue for all.", "throughput"
    last: tuple[int, float] = (-1, float("-inf"))
    """The card that last sent beside others, and when."""

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        (before, at), now = self.last, self.site.now()
        self.last = gpu, now
        return 0.4 * rate if before not in (-1, gpu) and now < at + 0.003 and self.strikes(gpu) else rate


class SlowDownAfterReset(Fault):
    """After a reset copies to the host have half their rate, until the enclosure is plugged in again."""

    name, domain, story, seen_by = "slow-down-after-reset", "dma", "Write combining stays off.", "throughput"
    slow = False

    def on_reset(self, plan: ResetPlan) -> None:
        self.slow = True

    def on_attach(self, identity: Identity) -> None:
        self.slow = False

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        return 0.5 * rate if self.slow and direction is Direction.D2H and self.strikes(gpu) else rate


class SlowDownAfterWake(SlowDownAfterReset):
    """The same after a sleep."""

    name = "slow-down-after-wake"

    def on_reset(self, plan: ResetPlan) -> None:
        pass

    def on_sleep(self, plan: SleepPlan) -> None:
        self.slow = True


class SlowDownAfterAttach(SlowDownAfterReset):
    """The same after a re-plug, until a reset."""

    name = "slow-down-after-attach"

    def on_reset(self, plan: ResetPlan) -> None:
        self.slow = False

    def on_attach(self, identity: Identity) -> None:
        self.slow = True
