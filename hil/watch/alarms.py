"""Which of the things that a host counted and logged speak of a fault, wherever they are seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hil.watch.aer import AerCount
    from hil.watch.kernel import Observations

RATE: Final = 0.2
"""Corrected errors a second from which a link is no good: a healthy one counts a few in a month. So low, because a link
that counts one a second on the average counts none for seconds now and then."""
STRAY: Final = 1
"""Corrected errors that prove nothing, however short the time: one stray symbol."""


def alarms(seen: Observations, *, address: str) -> tuple[str, ...]:
    """What of `seen` a GPU at BDF `address` and the way to it must not do, one sentence each.

    Any uncorrectable error, any Xid of this GPU, any exception of its IOMMU alarm, and so does a link of its enclosure
    that carries less than before; corrected errors and replays from `RATE` a second on, if they are more than `STRAY`.
    """
    return (*link_alarms(seen, address=address), *driver_alarms(seen, address=address))


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
    """As `alarms`: what the GPU's driver, and the host's IOMMU, logged."""
    xids = [
        f"{xid}{f' ({xid.meaning})' if xid.meaning and xid.text else ''}" for xid in seen.xids if xid.concerns(address)
    ]
    return (*xids, *(f"the host's IOMMU logged: {line.text}" for line in seen.lines if line.about == "dart"))


def summary(seen: Observations) -> str:
    """All that moved, a line each, for a report; empty = nothing did."""
    lines = [f"in {seen.seconds:.6g} s:"]
    lines += [str(count) for count in seen.aer]
    lines += [f"NVML replays: {seen.replays}"] if seen.replays else []
    lines += [f"link of the enclosure: {seen.narrowed}"] if seen.narrowed else []
    lines += [f"{line.time:12.6f} {line.about or '-':12} {line.text}" for line in seen.relevant]
    return "\n".join(lines) if len(lines) > 1 else ""


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
