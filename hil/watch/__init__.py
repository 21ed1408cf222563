"""What the host says meanwhile: AER counters, Xids, kernel log, and a GPU's own figures. Read-only."""

from hil.watch.aer import AerCount, AerCounters, difference, path_to_root
from hil.watch.kernel import Mark, Observations, WatchedLine, begin, since, subject
from hil.watch.telemetry import TelemetrySample, sample, sampling
from hil.watch.xid import MEANINGS, Xid, parse

__all__ = [
    "MEANINGS",
    "AerCount",
    "AerCounters",
    "Mark",
    "Observations",
    "TelemetrySample",
    "WatchedLine",
    "Xid",
    "begin",
    "difference",
    "parse",
    "path_to_root",
    "sample",
    "sampling",
    "since",
    "subject",
]
