"""What is better off on the eGPU: from the path's latency and bandwidth and the two memories' bandwidths.

A step of a workload reads `traffic` bytes of the memory that its data lies in, and moves `moved` bytes between host and
device. In Apple's unified memory it takes ``traffic / unified``. On the eGPU, its data resident in VRAM, it takes
``copies · α + moved / β + traffic / vram``. The two are equal where the traffic per byte moved, its *reuse*, reaches
``(1/β) / (1/unified - 1/vram)`` and the step is large enough to pay for α.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hil.model import GB
from hil.throughput.hockney import Hockney

UNIFIED = 400 * GB
"""bytes/s of Apple's unified memory (M3 Max; measured by owners above it). Other chips: 120 (M4) to 819 (M3 Ultra)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residency:
    """From where on the eGPU wins."""

    path: Hockney
    vram: float
    """bytes/s of the card's memory."""
    unified: float
    """bytes/s of the host's."""
    copies: int = 2
    """Copies a step, one in and one out."""

    def __post_init__(self) -> None:
        for name in ("vram", "unified"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be a bandwidth in bytes/s, not {getattr(self, name)}")

    @property
    def gain(self) -> float:
        """Seconds that a byte of traffic gains on the eGPU; not positive = its memory is no faster."""
        return 1 / self.unified - 1 / self.vram

    @property
    def reuse(self) -> float:
        """Bytes of memory traffic for each byte moved, above which large steps win; infinite where none do."""
        return 1 / self.path.beta / self.gain if self.gain > 0 else math.inf

    @property
    def least_traffic(self) -> float:
        """Bytes of traffic a step below which even one that moves nothing pays more for its copies than it gains."""
        return self.copies * self.path.alpha / self.gain if self.gain > 0 else math.inf

    def seconds_egpu(self, traffic: float, moved: float) -> float:
        """Time of a step on the eGPU, its data resident."""
        return self.copies * self.path.alpha + moved / self.path.beta + traffic / self.vram

    def seconds_unified(self, traffic: float) -> float:
        """Time of the same step in the host's memory."""
        return traffic / self.unified

    def seconds_streamed(self, traffic: float, moved: float, resident: float) -> float:
        """Time of the same step on the eGPU with its `resident` bytes sent anew each time."""
        return self.seconds_egpu(traffic, moved + resident) + self.path.alpha

    def least_batch(self, traffic: float, moved: float) -> float:
        """Items a step from which the eGPU wins: each moves `moved` bytes and adds `traffic`; infinite if never."""
        each = traffic * self.gain - moved / self.path.beta
        return self.copies * self.path.alpha / each if each > 0 else math.inf

    def intensity(self, flops_per_byte: float) -> float:
        """FLOP for each byte moved, above which large steps win, of a kernel that does `flops_per_byte` of traffic."""
        return self.reuse * flops_per_byte

    def sentence(self) -> str:
        """One line for people."""
        memories = f"VRAM {self.vram / GB:.0f} GB/s, unified memory {self.unified / GB:.0f} GB/s"
        if self.gain <= 0:
            return f"{memories}: no workload that is bound by memory gains from this eGPU"
        return (
            f"{memories}, path {self.path.alpha * 1e6:.0f} µs + {self.path.beta / GB:.2f} GB/s: a step gains where its "
            f"data stays in VRAM and it reads {self.reuse:.0f} bytes of it for each byte moved, "
            f"{self.least_traffic / 2**20:.1f} MiB at the least"
        )
