"""Which bench a run is to use: one notation for the command line, the environment and the ini file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hil.errors import UsageError

DEFAULT_PROFILE = "macbook-pro-usb4"


class BenchKind(StrEnum):
    """Kinds of bench."""

    AUTO = "auto"
    """This machine if an NVIDIA GPU hangs on it, else the simulated one, and the header says so."""
    LOCAL = "local"
    OPENCL = "opencl"
    """Every OpenCL device of this machine, through its own driver."""
    SIM = "sim"
    CAPTURED = "captured"
    """What `hil capture` recorded: a bench that only answers what was read then."""
    FILE = "file"
    """What a bench file says."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A bench as the user named it."""

    kind: BenchKind
    profile: str = DEFAULT_PROFILE
    """Of a simulated bench: a shipped profile or a ``.toml`` file."""
    address: str = ""
    """Of a simulated machine that runs already; empty = start one of our own. Of a capture or bench file: its path."""

    def __str__(self) -> str:
        if self.kind is BenchKind.CAPTURED:
            return f"captured:{self.address}"
        if self.kind is BenchKind.FILE:
            return self.address
        if self.kind is not BenchKind.SIM:
            return self.kind.value
        return f"sim:{self.address or self.profile}"


def parse(text: str) -> Selection:
    """Read a bench: auto, local, opencl, sim[:PROFILE, :FILE.toml, :/SOCKET], captured:FILE, or a bench file's path.

    Raises:
        UsageError: it is none of these.

    """
    kind, colon, argument = text.strip().partition(":")
    if kind == BenchKind.SIM and (argument or not colon):
        if argument.startswith("/") and not argument.endswith(".toml"):
            return Selection(BenchKind.SIM, address=argument)
        return Selection(BenchKind.SIM, profile=argument or DEFAULT_PROFILE)
    if kind == BenchKind.CAPTURED and argument:
        return Selection(BenchKind.CAPTURED, address=argument)
    if text.strip().endswith(".toml") and kind not in (BenchKind.SIM, BenchKind.CAPTURED):
        return Selection(BenchKind.FILE, address=text.strip())
    if kind in (BenchKind.AUTO, BenchKind.LOCAL, BenchKind.OPENCL) and not colon:
        return Selection(BenchKind(kind))
    raise UsageError(
        f"bench {text!r} is not known: expected auto, local, opencl, sim, sim:PROFILE, sim:FILE.toml, sim:/SOCKET, "
        "captured:FILE or a bench file (BENCH.toml)"
    )
