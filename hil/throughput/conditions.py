"""Under what conditions samples were taken: the cable's link, the card's own, its clocks, temperature and power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.model import LaneLink, PcieLink, from_dict, to_dict
from hil.watch import TelemetrySample

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """`None` = the host or the card does not tell."""

    link: LaneLink | None = None
    """Of the enclosure's cable."""
    pcie: PcieLink | None = None
    """Of the GPU, read with copies under way."""
    sensors: TelemetrySample | None = None
    """Read as soon as the last copy was over."""

    def negotiated(self) -> str:
        """The link of the hop that bounds it, as part of a series' key; empty where nothing tells.

        ``2 × 20 Gb/s`` of a cable, ``16 GT/s x16`` of a slot.
        """
        if self.link is not None and self.link.gbps is not None:
            if self.link.lane_gbps is None or self.link.lanes is None:
                return f"{self.link.gbps:g} Gb/s"
            return f"{self.link.lanes} × {self.link.lane_gbps:g} Gb/s"
        if self.link is None and self.pcie is not None and self.pcie.width is not None:
            return str(self.pcie)
        return ""

    def context(self) -> dict[str, str]:
        """What of it explains a figure years later."""
        found = {}
        if self.pcie is not None and self.pcie.width is not None:
            found["pcie"] = str(self.pcie)
        reasons = self.sensors.throttle_reasons if self.sensors is not None else None
        slowed = [reason for reason in reasons or () if reason != "idle"]
        if slowed:
            found["throttled"] = ", ".join(slowed)
        return found

    def to_dict(self) -> dict[str, Any]:
        """In builtin types."""
        facts: dict[str, Any] = to_dict(self)
        return facts

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Conditions:
        """What `to_dict` described."""
        return from_dict(cls, dict(facts))
