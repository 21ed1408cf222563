"""Operations for tests of benches; inline they run in the tests' own process, so they harm nobody."""

from __future__ import annotations

import os
import sys
import threading


def own_pid(context):
    return os.getpid()


def add(context, *, left, right):
    return left + right


def says(context, *, words):
    sys.stderr.write(words)
    sys.stderr.flush()


def waits(context):
    threading.Event().wait(600)


def foreign(context):
    raise ZeroDivisionError("by a driver library")


def forget_epoch(context):
    """Let what this process holds of its device look as if somebody had changed it."""
    context.state["held"].epoch += 1
