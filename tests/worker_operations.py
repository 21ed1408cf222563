"""Operations and a host for the tests of device processes: well behaved, hanging, crashing, flooding."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from hil.errors import DataCorrupt, DriverError


class PlainClock:
    """Real time; told by a test that asks for it: `skip` lets time jump."""

    def __init__(self):
        self.skip = 0.0
        self.operations = []

    def now(self):
        return time.monotonic() + self.skip

    def sleep(self, seconds):
        time.sleep(seconds)

    @contextmanager
    def operation(self, name, deadline):
        self.operations.append((name, deadline))
        yield


class PlainHost:
    kind = "module"

    def __init__(self, *, closed_file=None):
        self.clock = PlainClock()
        self._closed_file = closed_file

    def close(self):
        if self._closed_file:
            Path(self._closed_file).write_text("closed", encoding="utf-8")


class BrokenHost:
    def __init__(self):
        raise DriverError("the host does not open", code=7)


def add(context, *, left, right):
    return left + right


def remember(context, *, value):
    context.state["value"] = value


def recall(context):
    return context.state["value"], context.device


def report_progress(context, *, steps):
    for step in range(steps):
        context.progress(f"step {step} \udcff")
    return steps


def sleep_on_gil(context):
    ctypes.PyDLL(None).sleep(600)


def sleep_beside_gil(context):
    context.progress("about to sleep")
    threading.Event().wait(600)


def late(context):
    context.host.clock.skip = 1000.0


def commit_suicide(context, *, number):
    os.kill(os.getpid(), number)
    threading.Event().wait(600)


def segfault(context):
    sys.stdout.write("last words\n")
    sys.stdout.flush()
    faulthandler._sigsegv()


def exit_at_once(context, *, status):
    os._exit(status)


def exit_politely(context):
    sys.exit(4)


def die_with_pipe_held(context):
    """Leaves a child that keeps this process's pipe to the controller open."""
    if os.fork():
        os._exit(3)
    os.setpgid(0, 0)
    time.sleep(4)
    os._exit(0)


def flood(context, *, megabytes):
    block = b"x" * (1 << 20)
    for _ in range(megabytes):
        os.write(1, block)
        os.write(2, block)
    sys.stdout.write("by Python\n")
    subprocess.run(["sh", "-c", "echo from a command"], check=True)
    return megabytes


def big(context, *, size):
    return bytes(size)


def give_object(context):
    return {"deep": [object()]}


def give_very_negative(context):
    return -(2**40)


def corrupt(context):
    raise DataCorrupt("64 KiB at 0x10000 hold another run's data", code=3)


def foreign(context):
    raise ZeroDivisionError("by a driver library")


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def unspeakable(context):
    raise UnspeakableError


def own_type(context):
    class OwnError(DriverError):
        """A type that the controller cannot know, whatever it has imported."""

    raise OwnError("failed in a way of its own", code=signal.SIGTERM)


def own_pid(context):
    return os.getpid(), os.getpgid(0)


NOT_CALLABLE = 3
