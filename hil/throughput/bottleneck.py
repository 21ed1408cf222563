"""Which hop bounds a rate: what each on the way could carry at the most, and which of them the rate comes close to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hil.model import BANDS, NOMINAL_GBPS, LaneLink, LinkKind, PcieLink, decimal_gb_s

CLOSE = 0.85
"""Share of a ceiling from which on that hop is held to be what bounds the rate."""
SHARED = 0.65
"""Share of its rate alone that a direction keeps in company, below which both are held to share something."""
LATENCY = 0.1
"""Share of a copy's time that is fixed cost, from which on size is what bounds the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The most that one hop could carry."""

    hop: str
    """``link``, ``pcie``, ``copy engine``, ``host memory``."""
    rate: float
    """bytes/s in one direction."""
    why: str
    usual: float = math.inf
    """bytes/s from which on it explains a rate that nothing else does: enclosures of one kind differ in what they
    carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """What bounds a rate, and why that is thought."""

    hop: str
    """That of a ceiling, or ``tunnel shared``, ``latency``, ``unknown``."""
    sentence: str
    ceilings: tuple[Ceiling, ...]
    """Lowest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """What is known of the way from host to device. `None` = not known."""

    kind: LinkKind
    link: LaneLink | None = None
    """Negotiated by the enclosure."""
    pcie: PcieLink | None = None
    """Of the GPU, read under load: an idle one lowers it."""
    card: PcieLink | None = None
    """The best that the card itself can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Rates of one direction, bytes/s. `None` = not measured."""

    rate: float
    """Large pinned copies."""
    other_direction: float | None = None
    both_at_once: float | None = None
    """The same direction while the other one is under way."""
    pageable: float | None = None
    fixed_seconds: float | None = None
    """Cost of a copy before its first byte."""
    nbytes: int = 0
    """Of a copy of `rate`."""


def ceilings(path: Path) -> tuple[Ceiling, ...]:
    """What each hop of `path` could carry, lowest first; hops of which nothing is known are left out."""
    found = []
    band, nominal = BANDS.get(path.kind), NOMINAL_GBPS.get(path.kind)
    if band is not None and nominal is not None:
        now = path.link.gbps if path.link is not None and path.link.gbps is not None else nominal
        why = f"{now:g} of {nominal:g} Gb/s negotiated, of which PCIe gets {decimal_gb_s(band.high)} at the most"
        share = min(now / nominal, 1.0)
        found.append(Ceiling(hop="link", rate=band.high * share, why=why, usual=CLOSE * band.low * share))
    for name, link in (("under load", path.pcie), ("of the card", path.card)):
        rate = link.payload_rate if link is not None else None
        if rate is not None:
            found.append(Ceiling(hop="pcie", rate=rate, why=f"{link} {name}, less coding and packet headers"))
    return tuple(sorted(found, key=lambda ceiling: ceiling.rate))


def bottleneck(path: Path, measured: Measured) -> Bottleneck:
    """Say which hop bounds what was measured."""
    known = ceilings(path)
    hop, sentence = _suspect(known, measured)
    return Bottleneck(hop=hop, sentence=sentence, ceilings=known)


Suspicion = tuple[str, str] | None
"""Hop and sentence."""


def _suspect(known: Sequence[Ceiling], measured: Measured) -> tuple[str, str]:
    found = _own_cost(measured) or _sharing(measured) or _close(known, measured) or _engine(measured)
    if found is not None:
        return found
    text = decimal_gb_s(measured.rate)
    if not known:
        return "unknown", f"{text}: nothing is known of the links on the way"
    lowest = known[0]
    told = (
        f"{text} is {100 * measured.rate / lowest.rate:.0f} % of what the narrowest hop, the {_NAMES[lowest.hop]}, can "
        f"carry ({lowest.why})"
    )
    if measured.rate >= lowest.usual:
        return lowest.hop, f"{told}: not every enclosure of its kind gets more out of it"
    return "copy engine", f"{told}: no link explains it, so the copy engine or its driver does"


def _own_cost(measured: Measured) -> Suspicion:
    share = (measured.fixed_seconds or 0.0) * measured.rate / max(measured.nbytes, 1)
    if not measured.nbytes or share < LATENCY:
        return None
    return "latency", (
        f"{decimal_gb_s(measured.rate)}: {100 * share:.0f} % of each copy's time is spent before its first byte; "
        "larger copies are faster"
    )


def _sharing(measured: Measured) -> Suspicion:
    if measured.both_at_once is None or measured.both_at_once >= SHARED * measured.rate:
        return None
    return "tunnel shared", (
        f"{decimal_gb_s(measured.rate)} alone, {decimal_gb_s(measured.both_at_once)} while the other direction is "
        "under way: the two share what should be full duplex"
    )


def _close(known: Sequence[Ceiling], measured: Measured) -> Suspicion:
    near = next((ceiling for ceiling in known if measured.rate >= CLOSE * ceiling.rate), None)
    if near is None:
        return None
    return near.hop, (
        f"{decimal_gb_s(measured.rate)} is {100 * measured.rate / near.rate:.0f} % of what the {_NAMES[near.hop]} can "
        f"carry ({near.why})"
    )


def _engine(measured: Measured) -> Suspicion:
    text, other, pageable = decimal_gb_s(measured.rate), measured.other_direction, measured.pageable
    if other is not None and measured.rate < CLOSE * other:
        return "copy engine", (
            f"{text}, the other direction {decimal_gb_s(other)}: the links carry both alike, so it is how this "
            "direction is copied (staging buffers, waiting after each)"
        )
    if pageable is not None and pageable >= CLOSE * measured.rate:
        return "host memory", (
            f"{text} from pinned memory, {decimal_gb_s(pageable)} from pageable: pinning gains nothing, so the copies "
            "are staged, or the host's memory is what is slow"
        )
    return None


_NAMES = {"link": "enclosure's link", "pcie": "PCIe link"}
