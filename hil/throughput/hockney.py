"""Latency and asymptotic bandwidth of a path, fitted to a sweep of sizes: T = α + n/β (Hockney's model)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LEAST_SIZES = 3
"""Different sizes that a fit needs: two always lie on a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hockney:
    """A fitted path."""

    alpha: float
    """Seconds before the first byte; not below 0."""
    beta: float
    """bytes/s of an endless copy."""
    worst: float
    """Largest distance of a sample's size from the model, as a share of its time."""

    def seconds(self, nbytes: float) -> float:
        """Time of a copy of `nbytes` bytes."""
        return self.alpha + nbytes / self.beta

    @property
    def half_size(self) -> float:
        """Bytes at which a copy reaches half of `beta` (n½)."""
        return self.alpha * self.beta


def fit(sweep: Iterable[tuple[int, float]]) -> Hockney:
    """Fit (bytes, seconds) pairs, each weighted by 1/T².

    Every size counts by its relative error: with equal weights the few milliseconds of the largest copies would drown
    the microseconds that α is made of, and miss it by 40 %.

    Raises:
        ValueError: there are fewer than `LEAST_SIZES` sizes, a time that is not positive, or times that do not grow
            with size.

    """
    points = [(float(nbytes), seconds) for nbytes, seconds in sweep]
    if len({nbytes for nbytes, _ in points}) < LEAST_SIZES:
        raise ValueError(f"a fit needs {LEAST_SIZES} different sizes, not {len({n for n, _ in points})}")
    if min(seconds for _, seconds in points) <= 0:
        raise ValueError("a fit needs positive times")
    # Weighted normal equations of T = α + s·n.
    weights = [seconds**-2 for _, seconds in points]
    sw = sum(weights)
    sx = sum(w * n for w, (n, _) in zip(weights, points, strict=True))
    sy = sum(w * t for w, (_, t) in zip(weights, points, strict=True))
    sxx = sum(w * n * n for w, (n, _) in zip(weights, points, strict=True))
    sxy = sum(w * n * t for w, (n, t) in zip(weights, points, strict=True))
    slope = (sw * sxy - sx * sy) / (sw * sxx - sx * sx)
    alpha = (sy - slope * sx) / sw
    if alpha < 0:  # no fixed cost to be seen: the line through the origin
        alpha, slope = 0.0, sxy / sxx
    if slope <= 0:
        raise ValueError("the times do not grow with size: no bandwidth bounds these copies")
    worst = max(abs(alpha + slope * n - t) / t for n, t in points)
    return Hockney(alpha=alpha, beta=1 / slope, worst=worst)
