"""Payload and read-request sizes of the functions on a path: what each is set to, and what does not fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hil.pci.capabilities import DEVICE_CONTROL, PCI_EXPRESS, find_capability, read_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.pci.base import FunctionAccess

# Source: PCI Express Base Specification 6.0, 7.5.3.3 (device capabilities) and 7.5.3.4 (device control).
_DEVICE_CAPABILITIES: Final = 0x04
READ_REQUEST: Final = 512
"""Bytes of the largest read request after a reset: below, each H2D copy asks more often than a link was made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Sizes of one function, in bytes."""

    address: str
    """BDF."""
    payload: int
    """The largest packet that it sends."""
    supported: int
    """The largest packet that it could receive."""
    read_request: int
    """The most that it asks for at once."""

    def __str__(self) -> str:
        return f"{self.address}: payload {self.payload} of {self.supported} B, read requests of {self.read_request} B"


def payload_of(access: FunctionAccess) -> Payload | None:
    """What one function is set to; `None` where it has no PCI Express capability."""
    at = find_capability(access, PCI_EXPRESS)
    if at is None:
        return None
    able, control = read_number(access, at + _DEVICE_CAPABILITIES, 4), read_number(access, at + DEVICE_CONTROL, 2)
    return Payload(
        address=access.address,
        payload=128 << (control >> 5 & 0x7),
        supported=128 << (able & 0x7),
        read_request=128 << (control >> 12 & 0x7),
    )


def misfits(path: Sequence[Payload]) -> tuple[str, ...]:
    """What does not fit together on a path from its root port down to a GPU, one sentence each.

    A packet that is larger than what a function on its way can take ends as a malformed one; a GPU below what all
    above it send wastes the link.
    """
    if not path:
        return ()
    *bridges, gpu = path
    found = [
        f"{one.address} sends packets of {one.payload} B and can take {one.supported} B itself"
        for one in path
        if one.payload > one.supported
    ]
    for bridge in bridges:
        if gpu.payload > bridge.supported:
            found.append(f"GPU {gpu.address} sends {gpu.payload} B, bridge {bridge.address} takes {bridge.supported} B")
        if bridge.payload > gpu.supported:
            found.append(f"bridge {bridge.address} sends {bridge.payload} B, GPU {gpu.address} takes {gpu.supported} B")
    common = min((bridge.payload for bridge in bridges), default=128)
    if gpu.payload < common:
        found.append(f"GPU {gpu.address} sends {gpu.payload} B, although all bridges above it carry {common} B")
    if gpu.read_request < READ_REQUEST:
        found.append(f"GPU {gpu.address} reads {gpu.read_request} B a read request, expected at least {READ_REQUEST} B")
    return tuple(found)
