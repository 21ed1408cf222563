"""From the severity of a draw to a parameter."""

from __future__ import annotations


def between(mild: float, severe: float, severity: float) -> float:
    """The value at `severity` (0 … 1) from `mild` to `severe` in equal steps; three digits of it."""
    return float(f"{mild + (severe - mild) * severity:.3g}")


def scaled(mild: float, severe: float, severity: float) -> float:
    """The value at `severity` (0 … 1) from `mild` to `severe`, both > 0, by equal ratios; three digits of it."""
    return float(f"{mild * (severe / mild) ** severity:.3g}")


def whole(mild: int, severe: int, severity: float) -> int:
    """As `scaled`, cut to a whole number ≥ 1."""
    return max(int(scaled(mild, severe, severity)), 1)
