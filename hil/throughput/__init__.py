"""Throughput: samples of copies, one way and both ways, and what the link should carry."""

from hil.throughput.link import BandVerdict, judge
from hil.throughput.sampler import BothWays, sample, sample_both
from hil.throughput.samples import Samples

__all__ = ["BandVerdict", "BothWays", "Samples", "judge", "sample", "sample_both"]
