"""The GPU's own PCI Express link and the sizes on the way to it, from where the device is driven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.model import Gpu, PcieLink, from_dict, to_dict
from hil.pci import SysfsFunction, clear_error_bits, error_bits, negotiated_link, open_function, payload_of
from hil.watch import path_to_root

if TYPE_CHECKING:
    from hil.bench.worker import Context

IDLE_GTS = 2.5
"""GT/s of an NVIDIA GPU that has nothing to do."""


def under_load(context: Context, *, gpu: dict[str, Any], nbytes: int, least: int, most: int) -> list[dict[str, Any]]:
    """The GPU's link as it reads with a copy under way, once a copy: `PcieLink` as dicts.

    An idle card lowers its link, and needs a moment to raise it again: `least` readings, and up to `most` while it is
    in its lowest speed.
    """
    work = session(context)
    found: list[PcieLink] = []
    there, here = work.alloc(nbytes), work.borrow(nbytes)
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        while len(found) < least or (len(found) < most and found[-1].gts == IDLE_GTS):
            work.engine.upload(there, here, nbytes)
            work.engine.upload(there, here, nbytes)
            found.append(negotiated_link(access))
            work.engine.synchronize()
    finally:
        access.close()
    work.engine.free(there)
    work.give_back(here)
    return [to_dict(link) for link in found]


def errors_noticed(
    context: Context, *, gpu: dict[str, Any], nbytes: int, seconds: float, periods: int
) -> list[list[str]]:
    """Error bits that the GPU's own end of the link set in each of `periods` parts of `seconds`, a copy in each.

    For hosts that count no errors (macOS): the bits are cleared before each part, so that many show as many.
    """
    work, found = session(context), []
    there, here = work.alloc(nbytes), work.borrow(nbytes)
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        for _ in range(periods):
            clear_error_bits(access)
            work.engine.upload(there, here, nbytes)
            work.engine.synchronize()
            context.host.clock.sleep(seconds / periods)
            found.append(list(error_bits(access)))
    finally:
        access.close()
    work.engine.free(there)
    work.give_back(here)
    return found


def payloads(context: Context, *, gpu: dict[str, Any]) -> list[dict[str, Any]]:
    """Payload and read-request sizes from the root port down to the GPU: `Payload` as dicts.

    The GPU alone where the host lets nobody see the bridges (macOS).
    """
    card = from_dict(Gpu, gpu)
    address = card.function.address
    found = []
    if context.host.facts().system == "Linux":
        above = [part for part in path_to_root(context.host, address) if part != address]
        found = [payload_of(SysfsFunction(context.host, part)) for part in above]
    access = open_function(context.host, card)
    try:
        found.append(payload_of(access))
    finally:
        access.close()
    return [to_dict(one) for one in found if one is not None]
