"""Takes samples: copies of one size, one way or both ways at once, timed by the device where it can."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hil.model import Direction
from hil.throughput.copies import check, copier, gathered
from hil.throughput.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hil.copy.base import CopyEngine
    from hil.hosts.base import Clock

_UP, _DOWN = 0, 1  # streams


@dataclass(frozen=True, slots=True, kw_only=True)
class BothWays:
    """Samples of H2D and D2H at once: ``nbytes / seconds`` of each is its direction's rate while both ran."""

    h2d: Samples
    d2h: Samples
    overlapped: tuple[bool, ...]
    """For each sample, whether the directions ran at once. Where not (the driver ran one after the other, or
    no device time tells), the rates are those over the whole span, which both directions shared."""


def sample(
    engine: CopyEngine,
    clock: Clock,
    direction: Direction,
    nbytes: int,
    rounds: int = 10,
    warmups: int = 4,
    *,
    pinned: bool = True,
    zeros: bool = False,
    offset: int = 0,
    rows: int = 1,
) -> Samples:
    """Time `rounds` copies of `nbytes` bytes, each waited for, after `warmups` copies that are not counted.

    Host memory, `pinned` or pageable, holds the pattern, so that neither untouched pages nor data that compress
    well make a copy look fast; `zeros` are for a comparison with tools that copy these. Buffers are allocated
    once and freed at the end, also after an error. `offset` and `rows` give a copy its shape, see `copier`; `nbytes`
    is a multiple of `rows`.

    Raises:
        NotSupported: the engine has no copies in this `direction`, or no pitched ones.
        ValueError: a number is out of range.
        BenchFault: a clock did not advance over a copy: it is too coarse for this size.
        DeviceFault: what the driver or the device did wrong.

    """
    check(engine, (direction,), nbytes, rounds, warmups)
    if offset < 0 or rows < 1 or nbytes % rows:
        raise ValueError(
            f"`offset` must be at least 0 and `nbytes` a multiple of `rows`, not {offset}, {nbytes}, {rows}"
        )
    with ExitStack() as stack:
        copy = copier(engine, direction, nbytes, stack, pinned=pinned, zeros=zeros, offset=offset, rows=rows)
        times: list[tuple[float, float]] = []
        for _ in range(warmups + rounds):
            began = clock.now()
            start = engine.record(_UP) if engine.device_time else None
            copy(_UP)
            end = engine.record(_UP) if engine.device_time else None
            engine.synchronize(_UP)
            host = clock.now() - began
            times.append((engine.elapsed(start, end) if engine.device_time else host, host))
    return gathered(engine, direction, nbytes, times[warmups:])


def sample_both(
    engine: CopyEngine,
    clock: Clock,
    nbytes: int,
    rounds: int = 10,
    warmups: int = 4,
    depth: int = 4,
) -> BothWays:
    """Time H2D and D2H at once, on two streams, with buffers of their own.

    A round submits `depth` copies of `nbytes` bytes to each stream in turn and waits for all. Only the window
    in which both directions surely ran counts: from when each has finished its first copy, to when one has
    finished its last. A copy that lies partly in the window counts by the share of its time. This needs
    device time; without it, and where the driver does not overlap the two, the window is the whole round.

    Args:
        engine: the open engine.
        clock: the host's clock.
        nbytes: bytes of one copy.
        rounds: samples to take.
        warmups: rounds before that are not counted.
        depth: copies of each direction in a round, at least 2.

    Raises:
        NotSupported: the engine lacks one of the directions.
        ValueError: a number is out of range.
        BenchFault: a clock did not advance over a round.
        DeviceFault: what the driver or the device did wrong.

    """
    check(engine, (Direction.H2D, Direction.D2H), nbytes, rounds, warmups)
    if depth < 2:  # noqa: PLR2004  (the first copy only opens the window)
        raise ValueError(f"`depth` must be at least 2, not {depth}")
    with ExitStack() as stack:
        up = copier(engine, Direction.H2D, nbytes, stack)
        down = copier(engine, Direction.D2H, nbytes, stack)
        found = [_both_round(engine, clock, up, down, depth) for _ in range(warmups + rounds)][warmups:]
    return BothWays(
        h2d=gathered(engine, Direction.H2D, nbytes, [(up_s, host / depth) for up_s, _, host, _ in found]),
        d2h=gathered(engine, Direction.D2H, nbytes, [(down_s, host / depth) for _, down_s, host, _ in found]),
        overlapped=tuple(overlapped for _, _, _, overlapped in found),
    )


def _both_round(
    engine: CopyEngine, clock: Clock, up: Callable[[int], None], down: Callable[[int], None], depth: int
) -> tuple[float, float, float, bool]:
    """Seconds of a copy up and of one down while both run, host seconds of the round, whether both ran."""
    began = clock.now()
    zero = engine.record(_UP) if engine.device_time else None
    marks: tuple[list[object], list[object]] = ([], [])
    for _ in range(depth):
        for stream, copy in ((_UP, up), (_DOWN, down)):
            copy(stream)
            if engine.device_time:
                marks[stream].append(engine.record(stream))
    engine.synchronize()
    host = clock.now() - began
    if not engine.device_time:
        return host / depth, host / depth, host, False
    ends = [[engine.elapsed(zero, mark) for mark in side] for side in marks]
    opens, closes = max(ends[_UP][0], ends[_DOWN][0]), min(ends[_UP][-1], ends[_DOWN][-1])
    copies = [_copies_within(side, opens, closes) for side in ends]
    if closes <= opens or not all(copies):
        span = max(ends[_UP][-1], ends[_DOWN][-1])
        return span / depth, span / depth, host, False
    return (closes - opens) / copies[_UP], (closes - opens) / copies[_DOWN], host, True


def _copies_within(ends: Sequence[float], opens: float, closes: float) -> float:
    """How many copies, in parts, ran between two moments, given when each ended."""
    count = 0.0
    for start, end in pairwise(ends):
        inside = min(end, closes) - max(start, opens)
        if inside > 0:
            count += inside / (end - start)
    return count


def sample_streams(
    engine: CopyEngine,
    clock: Clock,
    direction: Direction,
    nbytes: int,
    *,
    streams: int = 4,
    rounds: int = 10,
    warmups: int = 4,
) -> Samples:
    """Time one copy of `nbytes` bytes on each of `streams` streams at once, each with buffers of its own.

    Returns:
        Samples of ``streams * nbytes`` bytes each: their rate is that of all streams together.

    Raises:
        As `sample`.

    """
    check(engine, (direction,), nbytes, rounds, warmups)
    if streams < 1:
        raise ValueError(f"`streams` must be at least 1, not {streams}")
    with ExitStack() as stack:
        copies = [copier(engine, direction, nbytes, stack) for _ in range(streams)]
        times = []
        for _ in range(warmups + rounds):
            began = clock.now()
            zero = engine.record(_UP) if engine.device_time else None
            marks = []
            for stream, copy in enumerate(copies):
                copy(stream)
                if engine.device_time:
                    marks.append(engine.record(stream))
            engine.synchronize()
            host = clock.now() - began
            times.append((max((engine.elapsed(zero, mark) for mark in marks), default=host), host))
    return gathered(engine, direction, streams * nbytes, times[warmups:])
