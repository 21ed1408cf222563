"""A simulated card's sensors as its driver reads them: temperature, power, clocks, performance state, throttling."""

from __future__ import annotations

from typing import Any

from hil.model import GB
from hil.sim.machine import Machine
from hil.sim.parts import SimGpu

IDLE_BELOW = 0.002
"""Activity (see `hil.sim.thermal`) below which a card counts as idle: six seconds after a long copy."""
IDLE_MHZ = {"graphics": 210, "memory": 405}
WORKING, IDLE = 0, 8
"""Performance states: P0 while something moves, P8 on an idle desktop."""
SLOWDOWN_CELSIUS, HARDWARE_CELSIUS = 83.0, 93.0
"""From where a GeForce card of the Ada generation slows down by itself, and from where its hardware makes it."""
SHUTDOWN_CELSIUS = 98.0
APPLICATION_SHARE = 0.8
"""Of its highest clock that a workstation card keeps by default while it works."""
SLOWED = 0.5
"""Share of its clock that a card too hot keeps."""
GPU_IDLE, POWER_CAP, HARDWARE, THERMAL, HARDWARE_THERMAL = 0x1, 0x4, 0x8, 0x20, 0x40
"""Bits of nvml.h's clocks event reasons."""


class Sensors:
    """Reads all cards of one machine; every figure passes the faults."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def celsius(self, gpu: SimGpu) -> float:
        """Temperature of the GPU."""
        value = gpu.thermal.celsius(self._machine.clock.now())
        return self._machine.hooks.change("temperature", gpu.index, value=value)

    def watts(self, gpu: SimGpu) -> float:
        """Power of the board."""
        return self._machine.hooks.change("power", gpu.index, value=gpu.thermal.watts(self._machine.clock.now()))

    def megahertz(self, gpu: SimGpu, domain: str) -> int:
        """Clock of ``graphics`` or ``memory`` now."""
        value = float(IDLE_MHZ[domain] if self._idle(gpu) else self.highest(gpu, domain))
        if domain == "graphics" and self.celsius(gpu) >= SLOWDOWN_CELSIUS:
            value *= SLOWED
        return round(self._machine.hooks.change("clock_rate", gpu.index, domain, value=value * 1e6) / 1e6)

    def highest(self, gpu: SimGpu, domain: str) -> int:
        """The highest clock of ``graphics`` or ``memory``, in MHz."""
        return round(gpu.spec.graphics_mhz if domain == "graphics" else gpu.spec.memory_mhz)

    def default_application(self, gpu: SimGpu, domain: str) -> int:
        """The clock that a workstation card keeps while it works, in MHz."""
        return round(self.highest(gpu, domain) * (APPLICATION_SHARE if domain == "graphics" else 1))

    def performance_state(self, gpu: SimGpu) -> int:
        """0 … 15."""
        return IDLE if self._idle(gpu) else WORKING

    def reasons(self, gpu: SimGpu) -> int:
        """Why the clocks are not higher: bits."""
        found = GPU_IDLE if self._idle(gpu) else 0
        celsius = self.celsius(gpu)
        if celsius >= SLOWDOWN_CELSIUS:
            found |= THERMAL
        if celsius >= HARDWARE_CELSIUS:
            found |= HARDWARE | HARDWARE_THERMAL
        if self.watts(gpu) >= gpu.spec.power_limit_w:
            found |= POWER_CAP
        return found

    def rates(self, gpu: SimGpu) -> dict[str, Any]:
        """Share of the last second in which the GPU worked, and its memory was read or written, in per cent."""
        busy = gpu.thermal.busy(self._machine.clock.now())
        memory = busy * max(gpu.spec.h2d_gb_s, gpu.spec.d2h_gb_s) * GB / (gpu.spec.vram_gb_s * GB)
        return {"gpu": round(100 * busy), "memory": round(100 * memory)}

    def _idle(self, gpu: SimGpu) -> bool:
        return gpu.thermal.busy(self._machine.clock.now()) < IDLE_BELOW
