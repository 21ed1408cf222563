"""What the kind of link should carry: negotiated links against what was declared, a measured rate against its band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hil.model import BANDS, NOMINAL_GBPS, Gpu, Inventory, LaneLink, LinkKind, PcieLink, Router, decimal_gb_s

NOMINAL_LANES = 2
"""Lanes of every cable between host and enclosure, bonded: 2 × 10 … 2 × 40 Gb/s."""
TUNNEL_GTS = 8.0
"""GT/s that a GPU in an enclosure reaches at the least: the bridges of all Thunderbolt and USB4 enclosures are PCIe 3.0
x4 or better (Intel JHL6540 datasheet; ASMedia ASM2464 is 4.0)."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastLink:
    """What the link to a device must be at the least. `None` = what its kind promises."""

    gbps: float | None = None
    """Of each cable on the way, all lanes together."""
    lanes: int | None = None
    pcie_width: int | None = None
    """Lanes of the GPU's own PCIe link."""
    source: str = "what its kind promises"
    """Whose word this is, for messages."""


def hops(inventory: Inventory, enclosure: Router) -> tuple[Router, ...]:
    """The enclosures on the way from the host to `enclosure`, itself last; the link of each is its cable to the host.

    The tunnel's root port in the host is none of them: it is virtual and always says 2.5 GT/s.
    """
    routers = {router.name: router for router in inventory.routers}
    found, at = [enclosure], routers.get(enclosure.parent or "")
    while at is not None and at.role != "host" and at not in found:
        found.append(at)
        at = routers.get(at.parent or "")
    return tuple(reversed(found))


def weak_hops(path: Sequence[Router], least: LeastLink) -> tuple[str, ...]:
    """Which cables of `path` negotiated less than `least`: hop, expected and seen, one sentence each."""
    found = []
    for router in path:
        name = f"the link of {router.vendor_name} {router.device_name} ({router.name})".replace("  ", " ")
        gbps = least.gbps if least.gbps is not None else NOMINAL_GBPS.get(router.kind)
        lanes = least.lanes if least.lanes is not None else NOMINAL_LANES
        if gbps is not None and (router.link.gbps is None or router.link.gbps < gbps):
            found.append(f"{name} is {router.link}, expected at least {gbps:g} Gb/s ({least.source})")
        elif router.link.lanes is not None and router.link.lanes < lanes:
            found.append(f"{name} has {router.link.lanes} lane(s), expected at least {lanes} ({least.source})")
    return tuple(found)


def against(path: Sequence[Router], kind: LinkKind, least: LeastLink) -> str:
    """What the last cable of `path` negotiated against the least it must be, in one line; marked if any has less."""
    link = path[-1].link if path else LaneLink(lane_gbps=None, lanes=None)
    gbps = least.gbps if least.gbps is not None else NOMINAL_GBPS.get(kind)
    # The figures first: a report cuts off long lines.
    seen = "not to be seen" if not path else "not told" if link.gbps is None else f"{link.gbps:g} Gb/s"
    wanted = "" if gbps is None else f", expected {gbps:g} Gb/s"
    split = f"{link.lanes} × {link.lane_gbps:g}; " if link.lanes and link.lane_gbps else ""
    weak = not path or bool(weak_hops(path, least))
    return f"{'TOO LOW: ' if weak else ''}{seen}{wanted} ({split}{kind if least == LeastLink() else least.source})"


def weak_pcie(seen: Sequence[PcieLink], gpu: Gpu, above: PcieLink | None, least: LeastLink) -> str:
    """What of the GPU's own link, read several times under load, is too little; empty if nothing is.

    Args:
        seen: readings; the best of them counts, for an idle card lowers its link and raises it after a moment.
        gpu: whose link it is.
        above: what the bridge above it can at the best; `None` where the host does not tell.
        least: what was declared.

    """
    known = [link for link in seen if link.gts is not None and link.width is not None]
    where = f"the link between {gpu.function.address} and the bridge above it"
    if not known:
        return f"{where} tells neither speed nor width under load"
    best = max(known, key=lambda link: ((link.gts or 0.0) * (link.width or 0), link.gts or 0.0))
    can = [link.width for link in (gpu.function.max_link, above) if link is not None and link.width]
    width = least.pcie_width if least.pcie_width is not None else min(can, default=1)
    if best.width is not None and best.width < width:
        return f"{where} is {best} under load, expected x{width} ({_why(least)})"
    able = gpu.function.max_link.gts or TUNNEL_GTS
    wanted = min(able, TUNNEL_GTS if gpu.enclosure is not None else able)
    if best.gts is not None and best.gts < wanted:
        return f"{where} is {best} under load, expected at least {wanted:g} GT/s: it did not leave its idle state"
    return ""


def _why(least: LeastLink) -> str:
    return least.source if least.pcie_width is not None else "what both ends can"


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
