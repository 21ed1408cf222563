"""AER counters (PCIe advanced error reporting): of a function and of every bridge between it and the root."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hil.errors import HilError
from hil.hosts.reading import read_many

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hil.hosts import Host, LogLine
    from hil.hosts.reading import Content

DEVICES: Final = "/sys/bus/pci/devices"
SEVERITIES: Final = ("correctable", "nonfatal", "fatal")
_BDF: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_LINE: Final = re.compile(r"(\S+)\s+([0-9]+)")
# The kernel's drivers/pci/pcie/aer.c; until 6.13 its words were "Uncorrected" and "error received: BDF".
_MESSAGE: Final = re.compile(rf"\bAER: .*(Corr|Uncorr)ect\w+(?: \((\S+)\))? error .*\b({_BDF.pattern})")
_ERROR: Final = re.compile(rf"({_BDF.pattern}): .*Bus Error: severity=(Corr|Uncorr)ect\w+(?: \((\S+)\))?")
_NAME: Final = re.compile(rf"({_BDF.pattern}):\s+(?:AER:\s+)?\[ ?[0-9]+\] (\w+)")
_CONTAINED: Final = re.compile(rf"({_BDF.pattern}): DPC: containment event")
CONTAINED: Final = "DPC"
"""Of an error that made a port take its link down (Downstream Port Containment)."""
UNNAMED: Final = "not named"
"""Of an error whose function could not be asked any more which it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AerCount:
    """How often one function reported one kind of error."""

    address: str
    """BDF."""
    severity: str
    """``correctable``, ``nonfatal`` or ``fatal``."""
    name: str
    """The kernel's: ``BadTLP``, ``Rollover`` (replay number), ``Timeout`` (replay timer), ``CmpltTO``, …

    `UNNAMED` where it does not say.
    """
    count: int

    def __str__(self) -> str:
        return f"{self.address} {self.severity} {self.name}: {self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AerCounters:
    """All counters at one moment; a function without them (no AER, or not there) has none."""

    counts: tuple[AerCount, ...] = ()


def path_to_root(host: Host, address: str) -> tuple[str, ...]:
    """BDFs from the root port down to `address`; `address` alone where the host does not tell the path."""
    try:
        target = host.readlink(f"{DEVICES}/{address}")
    except OSError:
        return (address,)
    found = tuple(part for part in posixpath.normpath(target).split("/") if _BDF.fullmatch(part))
    return found or (address,)


def with_parents(host: Host, addresses: Iterable[str]) -> tuple[str, ...]:
    """`addresses` and all bridges above them, sorted, each once."""
    return tuple(sorted({part for address in addresses for part in path_to_root(host, address)}))


def read(host: Host, addresses: Iterable[str]) -> AerCounters:
    """Read the counters of just these functions. A file that cannot be read counts nothing."""
    wanted = [(address, severity) for address in addresses for severity in SEVERITIES]
    contents = read_many(host, [f"{DEVICES}/{address}/aer_dev_{severity}" for address, severity in wanted])
    return AerCounters(
        counts=tuple(
            AerCount(address=address, severity=severity, name=name, count=count)
            for (address, severity), content in zip(wanted, contents, strict=True)
            for name, count in _counts(content)
        )
    )


def difference(before: AerCounters, after: AerCounters) -> tuple[AerCount, ...]:
    """What was counted between two readings; only what is not zero.

    A counter that stands lower than before started again from zero when its function was re-plugged: what it
    says now is what happened since. A counter that is not there any more says nothing.
    """
    stood = {(c.address, c.severity, c.name): c.count for c in before.counts}
    found = []
    for now in after.counts:
        was = stood.get((now.address, now.severity, now.name), 0)
        grown = now.count - was if now.count >= was else now.count
        if grown:
            found.append(AerCount(address=now.address, severity=now.severity, name=now.name, count=grown))
    return tuple(found)


def logged(lines: Iterable[LogLine], functions: Iterable[str], counted: Iterable[AerCount]) -> tuple[AerCount, ...]:
    """Uncorrectable errors of `functions` in the kernel log, of those that have none among the `counted`.

    The counters of a function that is unplugged go with it, and its errors stay in the log. That a port contained one
    is nowhere but there.
    """
    watched = set(functions)
    silent = watched - {count.address for count in counted if count.severity != "correctable"}
    grave: dict[str, str] = {}
    named: dict[str, dict[str, str]] = {}
    for line in lines:
        if (contained := _CONTAINED.search(line.text)) and contained[1] in watched:
            named.setdefault(contained[1], {})[CONTAINED] = "fatal"
            continue
        if error := _ERROR.search(line.text):
            address, word, severity = error.groups()
        elif message := _MESSAGE.search(line.text):
            word, severity, address = message.groups()
        else:
            name = _NAME.search(line.text)
            if name and name[1] in grave:
                named[name[1]][name[2]] = grave[name[1]]
            continue
        grave.pop(address, None)
        if word == "Uncorr" and address in silent:
            grave[address] = "fatal" if severity == "Fatal" else "nonfatal"
            named.setdefault(address, {})
    return tuple(
        AerCount(address=address, severity=severity, name=name, count=1)
        for address, names in named.items()
        for name, severity in (names or {UNNAMED: grave.get(address, "nonfatal")}).items()
    )


def _counts(content: Content) -> list[tuple[str, int]]:
    if isinstance(content, HilError):
        raise content
    if isinstance(content, OSError):
        return []
    text = content.decode(errors="replace")
    lines = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    # The totals repeat what the single counters say.
    return [(m[1], int(m[2])) for m in lines if m and not m[1].startswith("TOTAL_")]
