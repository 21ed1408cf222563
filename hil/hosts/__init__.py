"""Hosts: the one seam between this program and a machine (see `hil.hosts.base`)."""

from hil.hosts.base import (
    Clock,
    Completed,
    Event,
    EventStream,
    FileStat,
    Host,
    LogLine,
    Process,
    SerialPort,
    wait_until,
)

__all__ = [
    "Clock",
    "Completed",
    "Event",
    "EventStream",
    "FileStat",
    "Host",
    "LogLine",
    "Process",
    "SerialPort",
    "wait_until",
]
