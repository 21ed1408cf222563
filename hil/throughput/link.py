"""What the kind of link should carry: a measured rate against its band."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hil.model import BANDS, LinkKind, decimal_gb_s

_NAMES = {
    LinkKind.THUNDERBOLT3: "a Thunderbolt 3 link",
    LinkKind.USB4: "a USB4 link",
    LinkKind.THUNDERBOLT5: "a Thunderbolt 5 link",
    LinkKind.PCIE: "a PCIe 4.0 x16 slot",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BandVerdict:
    """How a rate compares with the band of its link."""

    low: float
    """Floor of the band, bytes/s."""
    high: float
    """Top of the band, bytes/s."""
    ratio: float
    """Rate ÷ `low`: 1 and more passes."""
    ok: bool
    """Whether the floor is reached. A rate above the band is noted, not failed."""
    sentence: str


def judge(rate: float, kind: LinkKind) -> BandVerdict | None:
    """Compare `rate` (bytes/s, of copies of 64 MiB and more) with the band of `kind`.

    Returns:
        The verdict; `None` where the kind has no band (`LinkKind.UNKNOWN`).

    Raises:
        ValueError: `rate` is negative or no number.

    """
    if not (math.isfinite(rate) and rate >= 0):
        raise ValueError(f"`rate` must be a rate in bytes/s, not {rate}")
    band = BANDS.get(kind)
    if band is None:
        return None
    name = f"the band of {_NAMES.get(kind, kind.value)}, {decimal_gb_s(band.low)} to {decimal_gb_s(band.high)}"
    if rate < band.low:
        says = f"is below {name}: {100 * (1 - rate / band.low):.3g} % under its floor"
    elif rate > band.high:
        says = (
            f"is above {name}: {100 * (rate / band.high - 1):.3g} % over its top; "
            "is the link kind right, and did the data cross the link?"
        )
    else:
        says = f"lies in {name}"
    return BandVerdict(
        low=band.low,
        high=band.high,
        ratio=rate / band.low,
        ok=rate >= band.low,
        sentence=f"{decimal_gb_s(rate)} {says}",
    )
