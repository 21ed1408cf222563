"""Faults that do not come with hil, for runs of the suites: ``--hil-fault tests/foreign_faults.py:Class``."""

from __future__ import annotations

from hil.sim import config_space as layout
from hil.sim.faults.base import Fault, ResetPlan, Training
from hil.sim.faults.config_fields import with_field


class ClockStuck(Fault):
    """The graphics clock stays at its idle rate."""

    name, domain, story, seen_by = "clock-stuck", "thermal", "It does not leave its idle state.", "driver"
    of, hertz = "graphics", 300e6

    def on_clock_rate(self, gpu: int, domain: str, hertz: float) -> float:
        return self.hertz if domain == self.of and self.strikes(gpu) else hertz


class MemoryClockStuck(ClockStuck):
    """The memory's clock stays at its idle rate."""

    name, of, hertz = "memory-clock-stuck", "memory", 405e6


class ClockBelowBase(ClockStuck):
    """The graphics clock is low for a card at work, not for an idle one."""

    name, hertz = "clock-below-base", 1200e6


class NoPower(Fault):
    """The power sensor reads nothing."""

    name, domain, story, seen_by = "no-power", "thermal", "The shunt is broken.", "driver"

    def on_power(self, gpu: int, watts: float) -> float:
        return 0.0 if self.strikes(gpu) else watts


class NoTemperature(Fault):
    """The temperature sensor reads an error value."""

    name, domain, story, seen_by = "no-temperature", "thermal", "The sensor is cut off.", "driver"

    def on_temperature(self, gpu: int, celsius: float) -> float:
        return -40.0 if self.strikes(gpu) else celsius


class SensorsFrozen(Fault):
    """Power and temperature stay where they were."""

    name, domain, story, seen_by = "sensors-frozen", "thermal", "The monitor's firmware hangs.", "driver"

    def on_power(self, gpu: int, watts: float) -> float:
        return 16.0 if self.strikes(gpu) else watts

    def on_temperature(self, gpu: int, celsius: float) -> float:
        return 38.0 if self.strikes(gpu) else celsius


class SlowerAfterReplug(Fault):
    """The card's own link trains to 8 GT/s whenever its enclosure is plugged in again."""

    name, domain, story, seen_by = "slower-after-replug", "pcie", "A worn slot.", "driver"

    def on_link_training(self, training: Training) -> None:
        if self.site.now() > 0:
            training.pcie_gts = 8.0


class SlowerAfterReset(Fault):
    """The card's own link trains to 8 GT/s after a reset."""

    name, domain, story, seen_by = "slower-after-reset", "pcie", "A worn slot.", "driver"

    def __init__(self, parameters, site) -> None:
        super().__init__(parameters, site)
        self.was_reset: set[str] = set()

    def on_reset(self, plan: ResetPlan) -> None:
        self.was_reset.add(plan.address)

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        slow = address in self.was_reset and offset - 2 < layout.LINK_STATUS < offset + len(data)
        return with_field(data, offset, layout.LINK_STATUS, 0x000F, 3) if slow else data


class ErrorsMaskedAfterReset(Fault):
    """A reset leaves every error masked, and the operating system does not put that back."""

    name, domain, story, seen_by = "errors-masked", "reset", "A quirk of its firmware.", "driver"
    offset, left = layout.AER + 0x08, b"\x30\xf0\xff\x07"

    def on_reset(self, plan: ResetPlan) -> None:
        plan.config[self.offset] = self.left


class AsleepAfterReset(ErrorsMaskedAfterReset):
    """A reset leaves the function in D3hot."""

    name, offset, left = "asleep-after-reset", layout.PMCSR, b"\x0b"


class AudioLostByReset(SlowerAfterReset):
    """After a reset of the GPU its card's audio function reads all ones."""

    name, domain = "audio-lost", "reset"

    def on_config_read(self, address: str, offset: int, data: bytes) -> bytes:
        lost = address.endswith(".1") and f"{address[:-1]}0" in self.was_reset
        return b"\xff" * len(data) if lost else data


class WritesLost(Fault):
    """A bridge drops one write in 50."""

    name, domain, story, seen_by = "writes-lost", "pcie", "It is out of credits.", "driver"

    def on_bar_write(self, address: str, bar: int, offset: int, data: bytes) -> bytes | None:
        return None if bar == 1 and self.random.random() < 0.02 else data


class WindowWraps(Fault):
    """Reads of the window above its first 256 MiB show what lies below."""

    name, domain, story, seen_by = "window-wraps", "pcie", "A bridge decodes 28 bits of an address.", "driver"

    def on_bar_read(self, address: str, bar: int, offset: int, data: bytes) -> bytes:
        if bar != 1 or offset < 256 << 20:
            return data
        gpu = self.site.gpu_at(address)
        return self.site.peek(gpu, offset % (256 << 20), len(data))
