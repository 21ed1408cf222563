"""``python -m hil.sim PROFILE [--fault …]``: one simulated machine in this process, until it is told to stop."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from hil.errors import HilError
from hil.sim import profile
from hil.sim.faults import choice
from hil.sim.machine import Machine
from hil.sim.server import Server

_LONGEST = 90
"""Bytes; the path of a socket may have 104 on macOS, 108 on Linux."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a machine; prints one line of JSON, ``{"address": …}`` or ``{"error": …}``, once that is known."""
    parser = argparse.ArgumentParser(prog="python -m hil.sim", description="Serve one simulated machine.")
    parser.add_argument("profile", help="name of a shipped profile, or a .toml file")
    parser.add_argument("--fault", action="append", default=[], help="NAME[:key=value,…], repeatable")
    parser.add_argument("--private", action="store_true", help="stop as soon as standard input is closed")
    chosen = parser.parse_args(arguments)
    # What a fault's module prints must not stand before the line that is waited for.
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        loaded = profile.load(chosen.profile)
        machine = Machine(loaded, lambda site: [choice.make(text, site) for text in chosen.fault])
    except HilError as error:
        _say(out, {"error": str(error)})
        return 2
    folder = _folder()
    try:
        server = Server(machine, folder / "m")
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: server.switch_off())
        if chosen.private:
            # Ctrl-C in the terminal reaches the whole process group; only the controller decides.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            threading.Thread(target=_switch_off_at_end_of_input, args=(server,), daemon=True).start()
        _say(out, {"address": str(server.address)})
        with contextlib.suppress(KeyboardInterrupt):
            server.serve()
        server.switch_off()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _folder() -> Path:
    """A new folder for the socket, 0700, whose path leaves room for a name in it."""
    folder = Path(tempfile.mkdtemp(prefix="hil-"))
    if len(os.fsencode(folder)) > _LONGEST:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="hil-", dir="/tmp"))
    return folder


def _switch_off_at_end_of_input(server: Server) -> None:
    sys.stdin.buffer.read()
    server.switch_off()


def _say(out: TextIO, fact: dict[str, str]) -> None:
    out.write(json.dumps(fact) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
