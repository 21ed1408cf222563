"""Links: lanes of a Thunderbolt / USB4 cable, lanes of PCI Express, and what bandwidth each kind can carry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hil.model.units import GB


class LinkKind(StrEnum):
    """The kind of the hop between host and GPU that bounds its bandwidth: the enclosure's, or the slot's."""

    THUNDERBOLT3 = "thunderbolt3"
    USB4 = "usb4"
    """USB4 and Thunderbolt 4: the same 40 Gb/s tunnel."""
    THUNDERBOLT5 = "thunderbolt5"
    """Thunderbolt 5 and USB4 v2: 80 Gb/s."""
    PCIE = "pcie"
    """A slot inside the host."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLink:
    """A negotiated Thunderbolt / USB4 link: Gb/s of one lane, and how many lanes. `None` = not reported."""

    lane_gbps: float | None
    lanes: int | None
    total_gbps: float | None = None
    """Gb/s of all lanes, only where the host tells the product and not how it splits (macOS: 20 = 1 × 20 or 2 × 10)."""

    @property
    def gbps(self) -> float | None:
        """Gb/s of the whole link (speed of a lane × lanes), or `None` where that is unknown."""
        return self.total_gbps if self.lane_gbps is None or self.lanes is None else self.lane_gbps * self.lanes

    def __str__(self) -> str:
        if self.gbps is None:
            return "link unknown"
        if self.lane_gbps is None or self.lanes is None:
            return f"{self.gbps:g} Gb/s"
        return f"{self.gbps:g} Gb/s ({self.lanes} × {self.lane_gbps:g})"


PCIE_PAYLOAD = 128 / 152
"""Share of a PCIe link's bytes that is payload: packets of 128 bytes, each with 24 of header, sequence, checks and
framing (PCI Express Base Specification 4.0, 3.3 and 4.2)."""
_OLD_CODING, _CODING = 0.8, 128 / 130
"""8b/10b up to 5 GT/s, 128b/130b from 8 GT/s on."""
_NEW_CODING_GTS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PcieLink:
    """A PCI Express link: GT/s of one lane, and its width. `None` = not reported or no link."""

    gts: float | None
    width: int | None

    @property
    def payload_rate(self) -> float | None:
        """Payload bytes/s in one direction, less coding and packet headers; `None` where it is not known."""
        if self.gts is None or self.width is None:
            return None
        coding = _CODING if self.gts >= _NEW_CODING_GTS else _OLD_CODING
        return self.gts * 1e9 / 8 * coding * self.width * PCIE_PAYLOAD

    def __str__(self) -> str:
        if self.gts is None or self.width is None:
            return "link unknown"
        return f"{self.gts:g} GT/s x{self.width}"


UNKNOWN_LANES = LaneLink(lane_gbps=None, lanes=None)
UNKNOWN_PCIE = PcieLink(gts=None, width=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The bandwidth a healthy copy of 64 MiB and more is expected to reach, in bytes/s, and the link's ceiling."""

    low: float
    high: float


NOMINAL_GBPS = {LinkKind.THUNDERBOLT3: 40.0, LinkKind.USB4: 40.0, LinkKind.THUNDERBOLT5: 80.0}
"""Gb/s in one direction that an enclosure of each kind links at with a good cable: two lanes of 20, or of 40."""

BANDS: dict[LinkKind, Band] = {
    # Measured on real enclosures by several owners; the USB4 floor is the one this project is held to.
    LinkKind.THUNDERBOLT3: Band(low=2.2 * GB, high=2.8 * GB),
    LinkKind.USB4: Band(low=2.8 * GB, high=3.9 * GB),  # ASM2464 bridges reach 3.9
    LinkKind.THUNDERBOLT5: Band(low=5.5 * GB, high=7.0 * GB),
    LinkKind.PCIE: Band(low=28.0 * GB, high=31.0 * GB),  # PCIe 4.0 x16
}
"""Expected bandwidth by the kind of the enclosure's link, not of the host's port: a Thunderbolt 3 enclosure on a
Thunderbolt 5 Mac stays a Thunderbolt 3 enclosure. `LinkKind.UNKNOWN` has no band."""
