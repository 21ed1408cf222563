"""From the severity of a draw to a parameter."""

from __future__ import annotations

import random


def between(mild: float, severe: float, severity: float) -> float:
    """The value at `severity` (0 … 1) from `mild` to `severe` in equal steps; three digits of it."""
    return float(f"{mild + (severe - mild) * severity:.3g}")


def scaled(mild: float, severe: float, severity: float) -> float:
    """The value at `severity` (0 … 1) from `mild` to `severe`, both > 0, by equal ratios; three digits of it."""
    return float(f"{mild * (severe / mild) ** severity:.3g}")


def whole(mild: int, severe: int, severity: float) -> int:
    """As `scaled`, cut to a whole number ≥ 1."""
    return max(int(scaled(mild, severe, severity)), 1)


def pieces_apart(severity: float, dice: random.Random, *, most: float) -> dict[str, object]:
    """One cache line in a hundred, to the share `most` of all pieces of 64 KiB; each with a partner some pieces off."""
    size = 1 << round(6 + 10 * severity)
    return {
        "bytes": size,
        "rate": scaled(0.01, most, severity),
        "distance": size * dice.randint(1, 4),
        "direction": dice.choice(["H2D", "D2H"]),
        "seed": dice.randrange(1 << 16),
    }


def half_to_all(severity: float, dice: random.Random) -> dict[str, object]:
    """From every second opportunity to each."""
    return {"probability": round(0.5 + severity / 2, 2), "seed": dice.randrange(1 << 16)}
