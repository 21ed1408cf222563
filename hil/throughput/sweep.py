"""A sweep over sizes: samples from a few bytes to hundreds of MiB, fewer of the large ones; the fit through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil.model import MIB, Direction, decimal_gb_s, size_text
from hil.throughput.hockney import Hockney, fit
from hil.throughput.sampler import sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hil.copy.base import CopyEngine
    from hil.hosts.base import Clock
    from hil.throughput.samples import Samples

SIZES = tuple(4**power for power in range(1, 15))
"""4 B … 256 MiB."""
BUDGET = 256 * MIB
"""Bytes that the copies of one size may move, warm-ups included."""
MOST, LEAST = 10, 2
"""Copies that count; four more of them warm up, where the budget allows."""
WARMUPS = 4


def rounds_of(nbytes: int, budget: int = BUDGET) -> tuple[int, int]:
    """Copies of `nbytes` bytes that count, and those that warm up before, within `budget` bytes."""
    affordable = budget // nbytes
    if affordable >= MOST + WARMUPS:
        return MOST, WARMUPS
    warmups = min(WARMUPS, max(1, affordable // 4))
    return max(LEAST, min(MOST, affordable - warmups)), warmups


def sweep(
    engine: CopyEngine,
    clock: Clock,
    direction: Direction,
    sizes: Iterable[int] = SIZES,
    *,
    budget: int = BUDGET,
) -> tuple[Samples, ...]:
    """Samples of each of `sizes` in turn; raises as `sample`."""
    found = []
    for nbytes in sizes:
        rounds, warmups = rounds_of(nbytes, budget)
        found.append(sample(engine, clock, direction, nbytes, rounds, warmups))
    return tuple(found)


def fitted(found: Sequence[Samples]) -> Hockney:
    """α and β of a sweep, through the medians; raises as `fit`."""
    return fit((samples.nbytes, samples.nbytes / samples.rate) for samples in found)


def size_line(samples: Samples, fit: Hockney) -> str:
    """One size of a sweep in a line: time, rate, what the fit says."""
    seconds = samples.nbytes / samples.rate
    return (
        f"{size_text(samples.nbytes):>8}  {seconds * 1e6:12.1f} µs  {decimal_gb_s(samples.rate):>12}  "
        f"fitted {fit.seconds(samples.nbytes) * 1e6:12.1f} µs  {len(samples.seconds)} samples"
    )
