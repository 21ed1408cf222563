"""Which of the things that a host counted and logged speak of a fault, wherever they are seen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hil.watch.aer import CONTAINED, UNNAMED, AerCount
from hil.watch.kernel import Observations, WatchedLine

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

RATE: Final = 0.2
"""Corrected errors a second from which a link is no good: a healthy one counts a few in a month. So low, because a link
that counts one a second on the average counts none for seconds now and then."""
STRAY: Final = 1
"""Corrected errors that prove nothing, however short the time: one stray symbol."""
KILL: Final = "kill"
_OF_CLIENTS: Final = frozenset({13, 31, 43, 45, 69})
"""Xids of channels whose client or whose memory was taken away under it."""
# A reset under an open driver takes its GSP from it: 119 is what the next call to that ends with.
_OF_LOSS: Final = _OF_CLIENTS | {79, 119, 120, 154}
EXPLAINED: Final[Mapping[str, frozenset[int]]] = {
    "unplug": _OF_LOSS,
    "power_cycle": _OF_LOSS,
    "reset": _OF_LOSS,
    "unbind": _OF_CLIENTS,
    "sleep": _OF_CLIENTS,
    KILL: _OF_CLIENTS,
}
"""Xids that a sound driver may log when a device is pulled, reset, …, by what was done. After NVIDIA's catalogue, see
`hil.watch.xid`; which of them real drivers do log was not tried."""
_EXCEPTION: Final = re.compile(
    r"exception|(?<!de)fault|\berror\b|violation|\binvalid|unmapped|not mapped|denied|illegal|\babort|unexpected|panic",
    re.IGNORECASE,
)
_ERRORS_OF_ABSENCE: Final = frozenset({"SDES", "CmpltTO", "UnsupReq", CONTAINED, UNNAMED})
"""Uncorrectable errors of a link that goes down, and of requests to a function that is not there."""


def alarms(seen: Observations, *, address: str) -> tuple[str, ...]:
    """What of `seen` a GPU at BDF `address` and the way to it must not do, one sentence each.

    Any uncorrectable error, any Xid of this GPU, any exception of its IOMMU, any line of a kernel that is broken alarm,
    and so does a link of its enclosure that carries less than before; corrected errors and replays from `RATE` a second
    on, if they are more than `STRAY`.
    """
    return (*link_alarms(seen, address=address), *driver_alarms(seen, address=address))


def unexplained(seen: Observations, provoked: Collection[str]) -> Observations:
    """`seen` without what a sound link counts and a sound driver logs when what is `provoked` is done to a device.

    Args:
        seen: what happened meanwhile.
        provoked: what was done, keys of `EXPLAINED`; empty = nothing, and all of `seen` stays.

    """
    if not provoked:
        return seen
    xids = frozenset[int]().union(*(EXPLAINED.get(what, frozenset()) for what in provoked))
    # The device of a client that was killed is there all the time.
    errors = _ERRORS_OF_ABSENCE if set(provoked) - {KILL} else frozenset()
    return replace(
        seen,
        aer=tuple(count for count in seen.aer if count.severity != "correctable" and count.name not in errors),
        replays=0,
        xids=tuple(xid for xid in seen.xids if xid.number not in xids),
    )


def inexcusable(seen: Observations) -> Observations:
    """What of `seen` nothing explains, whatever a test does: a narrower link, a broken kernel."""
    return Observations(narrowed=seen.narrowed, lines=tuple(line for line in seen.lines if line.about == "kernel"))


def link_alarms(seen: Observations, *, address: str) -> tuple[str, ...]:
    """As `alarms`: what the links on the way to the GPU counted, and what became of the enclosure's."""
    found = [
        f"{_hop(count, address)} counted {count.count} uncorrectable error{_s(count.count)} "
        f"({count.severity} {count.name}), expected none"
        for count in seen.aer
        if count.severity != "correctable"
    ]
    if seen.narrowed:
        found.append(f"the link of its enclosure became narrower: {seen.narrowed}")
    corrected = [count for count in seen.aer if count.severity == "correctable"]
    for hop, counts in _by_hop(corrected, address).items():
        total = sum(count.count for count in counts)
        if _too_many(total, seen.seconds):
            names = ", ".join(f"{count.name} {count.count}" for count in counts)
            found.append(
                f"{hop} counted {total} corrected errors ({names}) in {seen.seconds:.3g} s, "
                f"expected less than one in {1 / RATE:g} s"
            )
    if _too_many(seen.replays, seen.seconds):
        found.append(
            f"NVML counted {seen.replays} packets that had to be sent again to or from {address} "
            f"in {seen.seconds:.3g} s, expected less than one in {1 / RATE:g} s"
        )
    return tuple(found)


def driver_alarms(seen: Observations, *, address: str) -> tuple[str, ...]:
    """As `alarms`: what the GPU's driver, the host's IOMMU and its kernel logged."""
    xids = [
        f"the driver logged {xid}{f' ({xid.meaning})' if xid.meaning and xid.text else ''}"
        for xid in seen.xids
        if xid.concerns(address)
    ]
    # A PC's IOMMU names the device. A Mac has one for each port, which does not, and may have more to say of itself.
    place = f"{address.partition(':')[2].partition('.')[0]}."
    iommu = [
        line
        for line in seen.lines
        if (line.about == "iommu" and place in line.text) or (line.about == "dart" and _EXCEPTION.search(line.text))
    ]
    broken = [line for line in seen.lines if line.about == "kernel"]
    return (*xids, *_logged("the host's IOMMU", iommu), *_logged("the kernel", broken))


def summary(seen: Observations) -> str:
    """All that moved, a line each, for a report; empty = nothing did."""
    lines = [f"in {seen.seconds:.6g} s:"]
    lines += [str(count) for count in seen.aer]
    lines += [f"NVML replays: {seen.replays}"] if seen.replays else []
    lines += [f"link of the enclosure: {seen.narrowed}"] if seen.narrowed else []
    lines += [f"{line.time:12.6f} {line.about or '-':12} {line.text}" for line in seen.relevant]
    return "\n".join(lines) if len(lines) > 1 else ""


def _logged(who: str, lines: list[WatchedLine]) -> tuple[str, ...]:
    if not lines:
        return ()
    more = f" (the first of {len(lines)} such lines)" if len(lines) > 1 else ""
    return (f"{who} logged: {lines[0].text}{more}",)


def _too_many(count: int, seconds: float) -> bool:
    return count > STRAY and count >= RATE * seconds


def _by_hop(counts: Iterable[AerCount], address: str) -> dict[str, list[AerCount]]:
    found: dict[str, list[AerCount]] = {}
    for count in counts:
        found.setdefault(_hop(count, address), []).append(count)
    return found


def _hop(count: AerCount, address: str) -> str:
    return f"the GPU's own end of its link ({address})" if count.address == address else f"bridge {count.address}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
