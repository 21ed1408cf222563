"""Simulated machines served in this process, and what tests of captures ask of an archive."""

from __future__ import annotations

import io
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.hosts.simulated import SimulatedHost
from hil.sim.machine import Machine
from hil.sim.profile import load
from hil.sim.server import Server


@contextmanager
def switched_on(profile: str) -> Iterator[SimulatedHost]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        server = Server(Machine(load(profile)), Path(folder) / "m")
        threading.Thread(target=server.serve, daemon=True).start()
        host = SimulatedHost(str(server.address))
        try:
            yield host
        finally:
            host.close()
            server.switch_off()


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
