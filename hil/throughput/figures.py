"""Figures that stand for samples, as series know them: bandwidths of large copies, latencies of small ones."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

from hil.model import MIB, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.throughput.hockney import Hockney
    from hil.throughput.sampler import BothWays
    from hil.throughput.samples import Samples

SMALL = MIB
"""Bytes below which a copy's time says more than its rate."""
ENOUGH = 20
"""Samples below which a 99th percentile is the largest of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One value, and what it was made of."""

    metric: str
    direction: str
    nbytes: int
    """Of one copy; 0 where it has no size."""
    value: float
    spread: float = 0.0
    samples: tuple[float, ...] = ()
    unit: str
    """``B/s`` or ``s``."""
    higher_is_better: bool
    gated: bool = True
    """Whether one run alone may be called a regression by it: not by a largest value or a high percentile."""

    def name(self) -> str:
        """For people: ``H2D bandwidth 64 MiB``."""
        size = f" {size_text(self.nbytes)}" if self.nbytes else ""
        return f"{self.direction} {self.metric}{size}"


def figures_of(samples: Samples, how: str = "", *, direction: str = "") -> tuple[Figure, ...]:
    """The figures of `samples`: a bandwidth, or of copies below `SMALL` latency p50, p99 and max.

    Args:
        samples: of one kind of copy.
        how: what is special: ``pageable``, ``4 streams``; empty for one pinned copy at a time.
        direction: where it is more than the samples' own: ``H2D while D2H``.

    """
    where = direction or str(samples.direction)
    more = f" {how}" if how else ""
    if samples.nbytes >= SMALL:
        return (
            Figure(
                metric=f"bandwidth{more}",
                direction=where,
                nbytes=samples.nbytes,
                value=samples.rate,
                spread=samples.spread,
                samples=samples.rates,
                unit="B/s",
                higher_is_better=True,
            ),
        )
    values = (
        ("p50", median(samples.seconds), samples.seconds),
        ("p99", percentile_99(samples.seconds), ()),
        ("max", max(samples.seconds), ()),
    )
    return tuple(
        Figure(
            metric=f"latency {name}{more}",
            direction=where,
            nbytes=samples.nbytes,
            value=value,
            spread=samples.spread / samples.rate * value if raw else 0.0,
            samples=raw,
            unit="s",
            higher_is_better=False,
            gated=name == "p50",
        )
        for name, value, raw in values
    )


def figures_of_both(both: BothWays) -> tuple[Figure, ...]:
    """The figures of H2D and D2H at once, each in a series of its own."""
    return (
        *figures_of(both.h2d, direction="H2D while D2H"),
        *figures_of(both.d2h, direction="D2H while H2D"),
    )


def figures_of_fit(fit: Hockney, direction: str) -> tuple[Figure, ...]:
    """α and β as figures."""
    return (
        Figure(
            metric="fixed cost",
            direction=direction,
            nbytes=0,
            value=fit.alpha,
            unit="s",
            higher_is_better=False,
        ),
        Figure(
            metric="asymptotic bandwidth",
            direction=direction,
            nbytes=0,
            value=fit.beta,
            unit="B/s",
            higher_is_better=True,
        ),
    )


def figure_of_first(samples: Samples, how: str) -> Figure:
    """The seconds of the first of `samples`, which nothing warmed up: ``first copy after idle``."""
    return Figure(
        metric=f"first copy {how}",
        direction=str(samples.direction),
        nbytes=samples.nbytes,
        value=samples.seconds[0],
        unit="s",
        higher_is_better=False,
        gated=False,
    )


def percentile_99(values: Sequence[float]) -> float:
    """The 99th percentile; of fewer than `ENOUGH` values the largest."""
    return max(values) if len(values) < ENOUGH else quantiles(values, n=100, method="inclusive")[98]
