"""What could be seen of a slower path: how far below the floor of its link's band a copy has to fall."""

from __future__ import annotations

from hil.model import Direction

SEEN_UNDER = 0.75
"""Share of the floor of a link's band under which one run tells; down to 0.9 of it takes a history of nights."""
NIGHTS_SEE = 0.94
"""Share of its own usual rate under which a history of thirty nights that differ by 1 % tells: the gate is at 0.96."""
SOAK_SECONDS = 105.0
"""Of full load after which a soak of two minutes could still tell: it looks at its last six seconds."""
SOAK_SEES = 0.94
"""Share of the rate when cold under which a soak tells: it allows for five hundredths."""
HEADROOM = {Direction.H2D: 1.20, Direction.D2H: 1.11}
"""How far above that floor the enclosures of the shipped profiles carry, at the most."""


def of_rate(share: float, direction: Direction | None = None) -> str:
    """Why one run could not see a path that carries `share` of its rate, in words; empty if it could.

    Args:
        share: 0 … 1, of what the path carries when it is well.
        direction: the one it concerns; `None` = both, so that the slower one tells first.

    """
    above_floor = share * (HEADROOM[direction] if direction else min(HEADROOM.values()))
    if above_floor <= SEEN_UNDER:
        return ""
    return (
        f"{100 * share:.0f} % of a good link's rate is up to {100 * above_floor:.0f} % of the floor of its band; "
        f"over {100 * SEEN_UNDER:.0f} % only a history of nights could tell"
    )


def of_nights(share: float) -> str:
    """Why a history of nights could not tell a path that carries `share` of its rate; empty if it could."""
    if share <= NIGHTS_SEE:
        return ""
    return f"{100 * share:.0f} % of its usual rate is within what a path's nights differ by"


def of_soak(seconds: float, share: float) -> str:
    """Why two minutes of load could not tell a path that carries `share` of its rate after `seconds` of it, if so."""
    if seconds > SOAK_SECONDS:
        return f"it comes after {seconds:.0f} s of full load, and a soak has {SOAK_SECONDS:.0f} s of that"
    if share > SOAK_SEES:
        return f"{100 * share:.0f} % of the rate when cold is within what a soak allows for a card that is warm"
    return ""
