"""``python -m hil.sim PROFILE [--fault …]``: one simulated machine in this process, until it is told to stop."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from hil.errors import UsageError
from hil.sim import profile
from hil.sim.faults import choice
from hil.sim.machine import Machine
from hil.sim.server import Server


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a machine; prints one line of JSON, ``{"address": …}`` or ``{"error": …}``, once that is known."""
    parser = argparse.ArgumentParser(prog="python -m hil.sim", description="Serve one simulated machine.")
    parser.add_argument("profile", help="name of a shipped profile, or a .toml file")
    parser.add_argument("--fault", action="append", default=[], help="NAME[:key=value,…], repeatable")
    parser.add_argument("--private", action="store_true", help="stop as soon as standard input is closed")
    chosen = parser.parse_args(arguments)
    try:
        loaded = profile.load(chosen.profile)
        machine = Machine(loaded, lambda site: [choice.make(text, site) for text in chosen.fault])
    except UsageError as error:
        _say({"error": str(error)})
        return 2
    folder = Path(tempfile.mkdtemp(prefix="hil-"))  # 0700
    server = Server(machine, folder / "m")
    try:
        _say({"address": str(server.address)})
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: server.switch_off())
        if chosen.private:
            # Ctrl-C in the terminal reaches the whole process group; only the controller decides.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            threading.Thread(target=_switch_off_at_end_of_input, args=(server,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.serve()
    finally:
        server.switch_off()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _switch_off_at_end_of_input(server: Server) -> None:
    sys.stdin.buffer.read()
    server.switch_off()


def _say(fact: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
