"""The local kernel log: ``/dev/kmsg`` on Linux, ``log show`` on macOS, both told on the local clock."""

from __future__ import annotations

import json
import math
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING

from hil.errors import BenchFault
from hil.hosts.base import Completed, LogLine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RECORD = 1 << 16
"""Bytes; the kernel formats a record into 8 KiB at most, and answers EINVAL to a smaller buffer."""
_BOOT_LAG = 0.005
"""Seconds. The log's clock starts a little behind CLOCK_MONOTONIC: 1.6 ms were seen on a 6.18 kernel."""
_MAC_TIMEOUT = 60.0
_MAC_LONGEST = 3600
"""Seconds; `log show` goes through what every process said and takes minutes for a day."""


def parse_kmsg(record: bytes, lead: float = 0.0) -> list[LogLine]:
    r"""The lines in one `record` of ``/dev/kmsg``: ``priority,sequence,microseconds,flags;text``.

    Source: Documentation/ABI/testing/dev-kmsg. What follows the first newline are tags (`` SUBSYSTEM=pci``),
    left out since the text names the device; bytes written ``\x0a`` are put back, and a newline among them
    ends a line.

    Args:
        record: as read.
        lead: seconds by which the local clock is ahead of the log's.

    """
    head, separator, rest = record.partition(b";")
    fields = head.split(b",")
    if not separator or len(fields) < 4 or not fields[2].isdigit():  # noqa: PLR2004  (the four named above)
        return []
    text = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), rest.partition(b"\n")[0])
    time = int(fields[2]) / 1e6 + lead
    return [LogLine(time=time, text=line) for line in text.decode("utf-8", "replace").split("\n")]


def read_kmsg(path: Path, lead: float, since: float) -> list[LogLine]:
    """All lines in the kernel's buffer from `since` (seconds on the local clock) on.

    A plain file in the place of the device (a captured tree) is read alike.

    Raises:
        PermissionError: this user may not read the log, or there is none (a container); says what to do.

    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (PermissionError, FileNotFoundError) as error:
        cure = "run as root, or `sysctl kernel.dmesg_restrict=0`; in a container, pass /dev/kmsg in"
        raise PermissionError(error.errno, f"reading the kernel log: {error.strerror}; {cure}", str(path)) from error
    lines: list[LogLine] = []
    try:
        while True:
            try:
                block = os.read(descriptor, _RECORD)
            except BlockingIOError:
                break
            except BrokenPipeError:  # the record to read next was overwritten: the next read goes on behind the gap
                continue
            if not block:
                break
            for record in re.split(rb"\n(?! )", block):
                lines += parse_kmsg(record, lead)
    finally:
        os.close(descriptor)
    return [line for line in lines if line.time >= since]


def kmsg_lead(tracing: Path, monotonic: float) -> float:
    """Seconds to add to a time of ``/dev/kmsg`` to get CLOCK_MONOTONIC.

    The log is stamped by the scheduler's clock, which NTP does not steer: at 10 µs a second the two part by
    seconds within a week. Root can read that clock in tracefs, to some 0.03 s; for others the two are taken
    as one. The lead is rounded up to 0.1 s: a line is rather kept than lost, and keeps its time from one
    reading to the next.

    Args:
        tracing: ``/sys/kernel/tracing``.
        monotonic: CLOCK_MONOTONIC now, in seconds.

    """
    try:
        chosen = (tracing / "trace_clock").read_text(encoding="ascii")
        stats = (tracing / "per_cpu/cpu0/stats").read_text(encoding="ascii")
    except OSError:
        return _BOOT_LAG
    now = re.search(r"^now ts:\s*(\d+\.\d+)", stats, re.MULTILINE)
    if now is None or "[local]" not in chosen:
        return _BOOT_LAG
    return math.ceil((monotonic - float(now[1])) * 10) / 10 + _BOOT_LAG


def mac_log(
    run: Callable[[list[str], float], Completed],
    *,
    since: float,
    monotonic: float,
    wall: float,
    slept: float = 0.0,
) -> list[LogLine]:
    """The macOS kernel's lines from `since` on, at most the last hour's. Not tried on a Mac yet.

    Args:
        run: runs a command with a timeout in seconds.
        since: seconds on the local clock.
        monotonic: the local clock now.
        wall: seconds since 1970 now: `log` stamps lines with the wall clock.
        slept: seconds that the Mac slept meanwhile, in which the local clock stood still. Lines from before
            the sleep come out that much earlier than they were, but not before `since`.

    Raises:
        PermissionError: this user may not read the log.
        BenchFault: `log` did not end in time, or failed.

    """
    seconds = min(math.ceil(max(monotonic - since, 0.0) + slept) + 1, _MAC_LONGEST)
    argv = ["log", "show", "--style", "ndjson", "--last", f"{seconds}s", "--predicate", 'process == "kernel"']
    done = run(argv, _MAC_TIMEOUT)
    if done.timed_out:
        raise BenchFault(
            f"reading the kernel log: `log show --last {seconds}s` did not end in {_MAC_TIMEOUT:g} s; "
            "ask for a shorter time",
            operation="kernel log",
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        if "permitted" in said or "Must be admin" in said:
            raise PermissionError(1, f"reading the kernel log: `log show`: {said}; run as an administrator")
        raise BenchFault(f"reading the kernel log: `log show`: {said}", code=done.returncode, operation="kernel log")
    stamped = (_mac_line(line, monotonic - wall) for line in done.stdout.splitlines())
    return [
        LogLine(time=max(line.time, since), text=line.text)
        for line in stamped
        if line is not None and line.time >= since - slept
    ]


def _mac_line(line: bytes, lead: float) -> LogLine | None:
    """One line of ndjson; `None` for the summary at the end and for what cannot be read."""
    try:
        facts = json.loads(line)
        stamp = datetime.strptime(facts["timestamp"], "%Y-%m-%d %H:%M:%S.%f%z")
        return LogLine(time=stamp.timestamp() + lead, text=str(facts["eventMessage"]))
    except (ValueError, KeyError, TypeError):
        return None
