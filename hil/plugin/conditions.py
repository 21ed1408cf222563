"""What surrounds a test's samples: the cable's link, the card's own under load, its sensors."""

from __future__ import annotations

from typing import Any

import pytest

from hil.bench.device import Device
from hil.errors import HilError
from hil.model import MIB, LaneLink, PcieLink, from_dict
from hil.throughput import Conditions
from hil.watch import TelemetrySample

FRESH = 60.0
"""Seconds on the host's clock for which a cable's link is taken as read: `system_profiler` takes seconds on a Mac, and
a link that drops meanwhile shows in the figures themselves."""
_COPY = 8 * MIB
_READINGS = 16
"""Of the PCIe link at the most: an idle card raises it a moment after the first copy."""
_READ_AT: pytest.StashKey[dict[str, float]] = pytest.StashKey()


class Surroundings:
    """The conditions of one device in one test."""

    def __init__(self, device: Device, config: pytest.Config) -> None:
        self._device = device
        self._config = config
        self._read: Conditions | None = None

    def read(self) -> Conditions:
        """Links as they were in this test, and the sensors as they were last read."""
        if self._read is None:
            self._read = Conditions(link=self._link(), pcie=self._pcie())
        return self._read

    def now(self) -> Conditions:
        """As `read`, the sensors read anew."""
        before = self.read()
        self._read = Conditions(link=before.link, pcie=before.pcie, sensors=self._sensors())
        return self._read

    def _link(self) -> LaneLink | None:
        enclosure, bench = self._device.facts.enclosure, self._device.bench
        if enclosure is None:
            return None
        moments = self._config.stash.setdefault(_READ_AT, {})
        now = bench.now()
        if bench.name not in moments or now - moments[bench.name] > FRESH:
            bench.refresh()
            moments[bench.name] = now
        found = next((router for router in bench.inventory.routers if router.uid == enclosure.uid), enclosure)
        return found.link

    def _pcie(self) -> PcieLink | None:
        device = self._device
        if device.facts.gpu is None or device.without_registers():
            return None
        told: list[Any] = device.call("path:under_load", gpu=device.gpu_facts(), nbytes=_COPY, least=1, most=_READINGS)
        seen = [from_dict(PcieLink, facts) for facts in told]
        return max(seen, key=lambda link: (link.gts or 0.0) * (link.width or 0))

    def _sensors(self) -> TelemetrySample | None:
        if self._device.facts.gpu is None:
            return None
        try:
            told = self._device.call("throughput:sensed", gpu=self._device.gpu_facts())
        except HilError:
            return None  # a device that is lost says so at the next copy
        return None if told is None else from_dict(TelemetrySample, told)
