"""A window around each test: error counters and kernel log, read once where one test ends and the next begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hil.discovery import linux_thunderbolt, macos
from hil.discovery.sysfs import Attributes
from hil.errors import HilError
from hil.hosts import LogLine
from hil.model import LaneLink
from hil.model.links import UNKNOWN_LANES
from hil.watch import aer, telemetry, xid
from hil.watch.aer import AerCounters
from hil.watch.kernel import Observations, WatchedLine, subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.hosts import Host
    from hil.model import Gpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How things stood when it was opened. Cheaper than a `Mark`: boot id and path are not asked each time."""

    gpu: Gpu
    mac: bool
    """Whether its host is one: asking for that takes several commands there."""
    time: float
    """Seconds on the host's clock."""
    functions: tuple[str, ...]
    """BDFs whose counters are read: the GPU's and all bridges above it; empty where the host counts nothing."""
    counters: AerCounters
    logged: bool
    """Whether the kernel log is read: not through `log show`, which takes the better part of a second."""
    replays: int | None
    """NVML's replay counter; `None` where there is none to ask."""
    link: LaneLink = UNKNOWN_LANES
    """Of the enclosure to the host, where it tells: a lane that is lost in one test has often been trained anew by the
    time another looks."""
    narrowed: str = ""
    """How a look through it found the link narrower than `link`, which may have passed again at its end."""
    seen: tuple[LogLine, ...] = ()
    """Lines of the log that bear the window's own time but were there before it."""


def opened(host: Host, gpu: Gpu) -> Window:
    """Open a window on `gpu` now. Never raises for what the host does not let it see."""
    counters = aer.read(host, aer.with_parents(host, [gpu.function.address]))
    now, facts = host.clock.now(), host.facts()
    logged = facts.simulated or facts.system != "Darwin"
    lines, _ = _log(host, now) if logged else ((), ())
    return Window(
        gpu=gpu,
        mac=facts.system == "Darwin",
        time=now,
        logged=logged,
        # macOS has no counters, and some ports of Linux hosts have none: not asked again and again.
        functions=tuple(dict.fromkeys(count.address for count in counters.counts)),
        counters=counters,
        replays=_replays(host, gpu),
        link=_link(host, gpu, mac=facts.system == "Darwin"),
        seen=tuple(lines),
    )


def looked(host: Host, window: Window) -> Window:
    """`window` after a look at the enclosure's link, for where a test waits and lanes have time to be trained anew."""
    if window.link.gbps is None or window.narrowed:
        return window
    return replace(window, narrowed=_narrowed(window.link, _link(host, window.gpu, mac=window.mac), "meanwhile"))


def turned(host: Host, window: Window) -> tuple[Observations, Window]:
    """What happened since `window` was opened, and the next one, which begins where this ends."""
    counters = aer.read(host, window.functions)
    replays = None if window.replays is None else _replays(host, window.gpu)
    link = window.link if window.link.gbps is None else _link(host, window.gpu, mac=window.mac)
    now = host.clock.now()
    lines, problems = _log(host, window.time) if window.logged else ((), ())
    news = list(lines)
    for old in window.seen:
        if old in news:
            news.remove(old)
    counted = aer.difference(window.counters, counters)
    logged = aer.logged(news, window.functions, counted)
    if logged:  # it may have been counted a moment after that was read, and would be told again of the next test
        counters = aer.read(host, window.functions)
        counted = aer.difference(window.counters, counters)
        logged = aer.logged(news, window.functions, counted)
    seen = Observations(
        aer=(*counted, *logged),
        replays=_grown(window.replays, replays),
        narrowed=window.narrowed or _narrowed(window.link, link, "now"),
        xids=xid.parse(news),
        lines=tuple(WatchedLine(time=line.time, text=line.text, about=subject(line.text)) for line in news),
        seconds=now - window.time,
        problems=tuple(problems),
    )
    follows = Window(
        gpu=window.gpu,
        mac=window.mac,
        time=now,
        logged=window.logged,
        functions=window.functions,
        counters=counters,
        replays=replays,
        link=link,
        seen=tuple(line for line in lines if line.time >= now),
    )
    return seen, follows


def _link(host: Host, gpu: Gpu, *, mac: bool) -> LaneLink:
    if gpu.enclosure is None:
        return UNKNOWN_LANES
    if mac:
        return macos.link_of(host, gpu.enclosure)
    return linux_thunderbolt.link_of(Attributes(host), gpu.enclosure.name)


def _narrowed(before: LaneLink, after: LaneLink, when: str) -> str:
    if before.gbps is None or after.gbps is None or after.gbps >= before.gbps:
        return ""
    return f"{before} before, {after} {when}"


def _grown(before: int | None, after: int | None) -> int:
    if before is None or after is None:
        return 0
    return after - before if after >= before else after  # it starts at zero when the driver is loaded anew


def _replays(host: Host, gpu: Gpu) -> int | None:
    try:
        return telemetry.replays(host, gpu)
    except HilError:
        return None


def _log(host: Host, start: float) -> tuple[Sequence[LogLine], tuple[str, ...]]:
    try:
        return host.kernel_log(start), ()
    except (OSError, HilError) as error:
        return (), (f"The kernel log cannot be read ({error}): Xids and link events go unseen.",)
