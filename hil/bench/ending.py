"""How a device process ends: killed and reaped within bounds, where it stood, its exit in words."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_REAP = 2.0
"""Real seconds for a killed process to be reaped; one in an uninterruptible driver call never is."""
_DUMP = 0.4
"""Real seconds to wait for a process to write down where it stands."""
_DUMP_BYTES = 1 << 20
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<function>.*)')
_LOOP = re.compile(r"^_perform \(.*hil/bench/worker\.py:")
"""Where an operation's frames end and those of the loop that called it begin: they are the same in every stack."""
_DUMP_BEGINS = re.compile(r"^(?:Fatal Python error: |(?:Current thread|Thread) 0x[0-9a-f]+\b.*:$)", re.MULTILINE)
_HEADER = re.compile(r"(?:Current thread|Thread) 0x(?P<thread>[0-9a-f]+)\b.*:\n")


def kill(popen: subprocess.Popen[bytes], *, limit: float = _REAP) -> bool:
    """SIGKILL the process and its group; whether it could be reaped within `limit` real seconds."""
    if popen.poll() is None:
        kill_group(popen.pid)
        popen.kill()
    return reap(popen, limit=limit)


def kill_group(pid: int) -> None:
    """SIGKILL the process group that a device process leads: commands it ran must not outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def reap(popen: subprocess.Popen[bytes], *, limit: float) -> bool:
    """Whether the process ended within `limit` real seconds."""
    try:
        popen.wait(limit)
    except subprocess.TimeoutExpired:
        return False
    return True


def in_words(returncode: int | None) -> str:
    """How a process ended, from `Popen.returncode`: ``killed by SIGSEGV``, ``exited with status 3``, …"""
    if returncode is None:
        return "left behind: not even SIGKILL ends it"
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


def stack(pid: int, thread: int, stderr: Path, *, limit: float = _DUMP) -> list[str]:
    """Where thread `thread` of process `pid` stands, innermost first, as faulthandler writes it on SIGUSR1.

    Args:
        pid: the process; it must have registered faulthandler for SIGUSR1.
        thread: `threading.get_ident` of the thread in that process.
        stderr: the file it writes to.
        limit: real seconds to wait for it.

    Returns:
        ``function (file:line)`` of each frame; empty when the process did not say in time.

    """
    pause = threading.Event()
    offset = stderr.stat().st_size
    end = time.monotonic() + limit
    try:
        os.kill(pid, signal.SIGUSR1)
    except ProcessLookupError:
        return []
    while True:
        with stderr.open("rb") as file:
            file.seek(offset)
            said = file.read(_DUMP_BYTES).decode(errors="replace")
        frames, complete = read_stack(said, thread)
        if complete or time.monotonic() >= end:
            return frames
        pause.wait(0.01)


def read_stack(said: str, thread: int) -> tuple[list[str], bool]:
    """Frames of `thread` in what faulthandler wrote, up to the operation; whether another thread's follow (so all)."""
    headers = list(_HEADER.finditer(said))
    for place, header in enumerate(headers):
        if int(header["thread"], 16) == thread:
            last = place + 1 == len(headers)
            part = said[header.end() : len(said) if last else headers[place + 1].start()]
            frames = [f"{m['function']} ({m['file']}:{m['line']})" for m in _FRAME.finditer(part)]
            ours = (place for place, frame in enumerate(frames) if _LOOP.search(frame))
            return frames[: next(ours, None)], not last
    return [], False


def without_stacks(said: str) -> tuple[str, str]:
    """What a process said itself, and what faulthandler wrote of its stacks behind that."""
    begin = _DUMP_BEGINS.search(said)
    return (said, "") if begin is None else (said[: begin.start()], said[begin.start() :])


def tail(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file as text; says how much was left out. Empty without such a file."""
    try:
        with path.open("rb") as file:
            left_out = max(path.stat().st_size - limit, 0)
            file.seek(left_out)
            text = file.read(limit).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return f"[{left_out} bytes left out]\n{text}" if left_out else text
