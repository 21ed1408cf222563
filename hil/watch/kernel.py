"""What the host's kernel said and counted while something went on: a mark before, observations after."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hil.errors import HilError
from hil.hosts import LogLine
from hil.watch import aer, xid
from hil.watch.aer import AerCount, AerCounters
from hil.watch.xid import Xid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hil.hosts import Host

_BROKEN: Final = re.compile(
    # Linux: mm/fault.c, traps.c, watchdog.c, hung_task.c, rcu/tree_stall.h, irq/spurious.c, panic.c. A program's own
    # protection fault is told with its instruction pointer; a warning counts only from the drivers on the way to a GPU,
    # and a task that is blocked only where it may wait for one: others wait for a disk.
    r"\bBUG: |kernel BUG at |\bOops\b|Internal error: .*\[#\d+\]|general protection fault(?!.* ip:)"
    r"|soft lockup - |hard LOCKUP|\brcu.*detected .*stall"
    r"|task (?:nv|irq/\d+-(?:nv|pciehp|aerdrv)|kworker|python|pytest)\S* blocked for more than \d+ seconds"
    r"|irq \d+: nobody cared"
    r"|Kernel panic|\bpanic\(cpu \d"
    r"|WARNING: (?=CPU: \d|\S+:\d+ at ).*(?:nvidia|drivers/(?:pci|thunderbolt|iommu)/|\[thunderbolt\]|dmar)"
)
_SUBJECTS: Final = (
    # The first that matches names the line.
    ("kernel", _BROKEN),
    ("iommu", re.compile(r"DMAR: \[DMA \w+[^]]*\] Request device|AMD-Vi: Event logged|arm-smmu.* event: F_")),
    ("xid", re.compile(r"NVRM: Xid")),
    ("nvidia", re.compile(r"NVRM|\bnvidia", re.IGNORECASE)),
    ("aer", re.compile(r"\bAER\b|PCIe Bus Error")),
    ("hot plug", re.compile(r"pciehp|Slot\(\S+\): (?:Link|Card)")),
    ("thunderbolt", re.compile(r"thunderbolt|USB4", re.IGNORECASE)),
    ("tinygpu", re.compile(r"tinygpu", re.IGNORECASE)),
    ("dart", re.compile(r"\bDART\b|DART_|\[SPTM\]|(?i:dart\b.*exception)")),
    ("pci", re.compile(r"\bpcieport\b|IOPCI|\bBAR [0-9]")),
)

_FAULTS: Final = ("kernel", "iommu", "xid", "aer", "dart")
_OF_A_LINK: Final = re.compile(r"PCIe Bus Error|error status/mask=")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedLine:
    """A line of the kernel log and what it is about."""

    time: float
    """Seconds on the host's clock."""
    text: str
    about: str = ""
    """``kernel`` (it is broken), ``iommu`` (of a PC; a Mac's is ``dart``), ``xid``, ``nvidia``, ``aer``, ``hot plug``,
    ``thunderbolt``, ``tinygpu``, ``dart``, ``pci``; empty = another subject."""

    @property
    def fault(self) -> bool:
        """Whether it speaks of one: a broken kernel, an Xid, an error of a link (AER), an exception of an IOMMU."""
        return self.about in _FAULTS or _OF_A_LINK.search(self.text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How things stood when the watch began."""

    time: float
    """Seconds on the host's clock."""
    boot_id: str
    functions: tuple[str, ...]
    """BDFs watched: the ones asked for and all bridges above them."""
    counters: AerCounters
    seen: tuple[LogLine, ...] = ()
    """Lines that bear the mark's own time but were there before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What happened since a mark."""

    aer: tuple[AerCount, ...] = ()
    """Errors counted."""
    replays: int = 0
    """Packets that NVML counted as sent again; 0 also where it was not asked."""
    narrowed: str = ""
    """What the enclosure's link was at the beginning and is at the end, if it carries less by then; empty also where it
    was not looked at."""
    xids: tuple[Xid, ...] = ()
    lines: tuple[WatchedLine, ...] = ()
    """The kernel log of that time, whole."""
    seconds: float = 0.0
    """How long it was, on the host's clock."""
    rebooted: bool = False
    """Whether the host booted anew."""
    problems: tuple[str, ...] = ()
    """What could not be seen, one sentence each."""

    @property
    def relevant(self) -> tuple[WatchedLine, ...]:
        """The lines about GPUs, their driver and the way to them."""
        return tuple(line for line in self.lines if line.about)


def begin(host: Host, functions: Iterable[str]) -> Mark:
    """Note time, counters and the end of the kernel log. Never raises for what the host does not let it see.

    Args:
        host: where to look.
        functions: BDFs to watch; the bridges above them are watched too.

    """
    watched = aer.with_parents(host, functions)
    boot_id, _ = _boot_id(host)
    now = host.clock.now()
    seen, _ = _log(host, now)
    return Mark(time=now, boot_id=boot_id, functions=watched, counters=aer.read(host, watched), seen=tuple(seen))


def since(host: Host, mark: Mark) -> Observations:
    """What happened since `mark`. What the host does not let it see becomes a sentence in `problems`."""
    boot_id, boot_problems = _boot_id(host)
    rebooted = bool(mark.boot_id and boot_id and boot_id != mark.boot_id)
    # After a boot the clock may have started again: all that the log holds is news.
    lines, log_problems = _log(host, 0.0 if rebooted else mark.time)
    if not rebooted:
        for old in mark.seen:
            if old in lines:
                lines.remove(old)
    # A function that came back may hang behind other bridges than before.
    watched = sorted({*mark.functions, *aer.with_parents(host, mark.functions)})
    counted = aer.difference(AerCounters() if rebooted else mark.counters, aer.read(host, watched))
    return Observations(
        aer=(*counted, *aer.logged(lines, watched, counted)),
        xids=xid.parse(lines),
        lines=tuple(WatchedLine(time=line.time, text=line.text, about=subject(line.text)) for line in lines),
        seconds=max(host.clock.now() - mark.time, 0.0),
        rebooted=rebooted,
        problems=(*boot_problems, *log_problems),
    )


def subject(text: str) -> str:
    """What a kernel log line is about, as in `WatchedLine.about`."""
    return next((name for name, pattern in _SUBJECTS if pattern.search(text)), "")


def marked(lines: Iterable[WatchedLine]) -> str:
    """`lines` as text, one a line; those that speak of a fault begin with ``>>``, an Xid's meaning stands below it."""
    found = []
    for line in lines:
        mark = ">>" if line.fault else "  "
        found.append(f"{mark} {line.time:12.6f} {line.about or '-':12} {line.text}")
        meant = [one.meaning for one in xid.parse([LogLine(time=line.time, text=line.text)]) if one.meaning]
        found += [f"   {'':12} {'':12} = {meaning}" for meaning in meant]
    return "\n".join(found)


def _boot_id(host: Host) -> tuple[str, Sequence[str]]:
    try:
        return host.facts().boot_id, ()
    except (OSError, HilError) as error:
        return "", (f"The host does not tell its boot id, so a reboot would go unnoticed: {error}.",)


def _log(host: Host, start: float) -> tuple[list[LogLine], Sequence[str]]:
    try:
        return list(host.kernel_log(start)), ()
    except PermissionError as error:
        problem = (
            f"The kernel log may not be read ({error.strerror or error}): Xids and link events go unseen; "
            "run as root, or set kernel.dmesg_restrict=0."
        )
        return [], (problem,)
    except (OSError, HilError) as error:
        return [], (f"The kernel log cannot be read ({error}): Xids and link events go unseen.",)
