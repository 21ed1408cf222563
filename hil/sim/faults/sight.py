"""What could be seen of a slower path: by how much it has to be slower than it was, and within what time."""

from __future__ import annotations

NIGHTS_SEE = 0.94
"""Share of its own usual rate under which a history of thirty nights that differ by 1 % tells: the gate is at 0.96."""
SOAK_SECONDS = 105.0
"""Of full load after which a soak of two minutes could still tell: it looks at its last six seconds."""
SOAK_SEES = 0.94
"""Share of the rate when cold under which a soak tells: it allows for five hundredths."""


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
