"""What the host says meanwhile: AER counters, Xids, kernel log, and a GPU's own figures. Read-only."""

from hil.watch.aer import AerCount, AerCounters, difference, path_to_root
from hil.watch.alarms import KILL, STRAY, alarms, driver_alarms, inexcusable, link_alarms, summary, unexplained
from hil.watch.kernel import Mark, Observations, WatchedLine, begin, marked, since, subject
from hil.watch.ratings import Ratings, ratings, strained
from hil.watch.telemetry import TelemetrySample, sample, sampling
from hil.watch.window import Window, looked, opened, turned
from hil.watch.xid import MEANINGS, Xid, parse

__all__ = [
    "KILL",
    "MEANINGS",
    "STRAY",
    "AerCount",
    "AerCounters",
    "Mark",
    "Observations",
    "Ratings",
    "TelemetrySample",
    "WatchedLine",
    "Window",
    "Xid",
    "alarms",
    "begin",
    "difference",
    "driver_alarms",
    "inexcusable",
    "link_alarms",
    "looked",
    "marked",
    "opened",
    "parse",
    "path_to_root",
    "ratings",
    "sample",
    "sampling",
    "since",
    "strained",
    "subject",
    "summary",
    "turned",
    "unexplained",
]
