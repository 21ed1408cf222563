"""Samples of one kind of copy, kept raw, and what speaks for them: median rate and robust spread."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from hil.model import Direction, decimal_gb_s, from_dict, robust_sd, size_text, to_dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """How long copies of one size in one direction took, one value a copy.

    Raises:
        ValueError: there is no sample, or a size or duration is not positive.

    """

    direction: Direction
    nbytes: int
    """Bytes of one copy; of a D2D copy too they count once, not once read and once written."""
    seconds: tuple[float, ...]
    """Seconds of each copy: of the device's clock where the engine has it, else of the host's."""
    host_seconds: tuple[float, ...]
    """Seconds of each copy on the host's clock, submission and waiting included."""
    device_time: bool
    """Whether `seconds` are of the device's clock."""

    def __post_init__(self) -> None:
        if self.nbytes < 1:
            raise ValueError(f"`nbytes` must be at least 1, not {self.nbytes}")
        if not self.seconds:
            raise ValueError("`seconds` holds no sample")
        for value in self.seconds:
            if not value > 0:
                raise ValueError(f"`seconds` must all be positive, not {value}")

    @property
    def rates(self) -> tuple[float, ...]:
        """bytes/s of each copy."""
        return tuple(self.nbytes / value for value in self.seconds)

    @property
    def rate(self) -> float:
        """Median rate, bytes/s: the one value that stands for this run."""
        return median(self.rates)

    @property
    def spread(self) -> float:
        """Robust standard deviation of the rates, bytes/s: 1.4826 times the median distance from `rate`."""
        return robust_sd(self.rates, self.rate)

    def text(self) -> str:
        """One line: direction, size, rate, spread, number of samples, whose clock."""
        return (
            f"{self.direction} {size_text(self.nbytes)}: {decimal_gb_s(self.rate)} "
            f"± {100 * self.spread / self.rate:.1f} % "
            f"({len(self.seconds)} samples, {'device' if self.device_time else 'host'} time)"
        )

    def to_dict(self) -> dict[str, Any]:
        """In builtin types."""
        facts: dict[str, Any] = to_dict(self)
        return facts

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Samples:
        """What `to_dict` described."""
        return from_dict(cls, facts)
