"""Throughput: samples of copies, what they are made of, what the link should carry, and what bounds them."""

from hil.throughput.bottleneck import Bottleneck, Measured, Path, bottleneck
from hil.throughput.clocks import disagreement
from hil.throughput.conditions import Conditions
from hil.throughput.hockney import Hockney
from hil.throughput.link import BandVerdict, LeastLink, against, hops, judge, weak_hops, weak_pcie
from hil.throughput.residency import UNIFIED, Residency
from hil.throughput.reuse import Reused, measure_reuse, predicted_break_even, predicted_streamed
from hil.throughput.sampler import BothWays, sample, sample_both, sample_streams
from hil.throughput.samples import Samples
from hil.throughput.soak import Soak, soak
from hil.throughput.sweep import fitted, sweep

__all__ = [
    "UNIFIED",
    "BandVerdict",
    "BothWays",
    "Bottleneck",
    "Conditions",
    "Hockney",
    "LeastLink",
    "Measured",
    "Path",
    "Residency",
    "Reused",
    "Samples",
    "Soak",
    "against",
    "bottleneck",
    "disagreement",
    "fitted",
    "hops",
    "judge",
    "measure_reuse",
    "predicted_break_even",
    "predicted_streamed",
    "sample",
    "sample_both",
    "sample_streams",
    "soak",
    "sweep",
    "weak_hops",
    "weak_pcie",
]
