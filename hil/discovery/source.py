"""What one discovery source contributes, and how the contributions of several become one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from hil.model import Domain, PciFunction, Retimer, Router, UsbFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from hil.hosts.base import Host

T = TypeVar("T", Domain, Router, Retimer, PciFunction, UsbFunction)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDetail:
    """What a source knows about the GPU at a PCI address beyond PCI itself. Empty or `None` = not told."""

    uuid: str = ""
    name: str = ""
    vram_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """The facts one source found. Functions are keyed by PCI address, routers by name."""

    domains: tuple[Domain, ...] = ()
    routers: tuple[Router, ...] = ()
    retimers: tuple[Retimer, ...] = ()
    functions: tuple[PciFunction, ...] = ()
    enclosure_of: Mapping[str, str] = field(default_factory=dict)
    """Address of a function → name of the router of the enclosure that holds it."""
    unjoined: Mapping[str, str] = field(default_factory=dict)
    """Address of a function that may lie in an enclosure → one sentence, why it is not known in which."""
    details: Mapping[str, GpuDetail] = field(default_factory=dict)
    """Address of a GPU → what else is known about it."""
    usb: tuple[UsbFunction, ...] = ()
    """Keyed by location; `enclosure` is left open: the join needs what other sources know."""
    looked_at: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Source(Protocol):
    """A discovery source: registered under the entry-point group ``hil.discovery``, in a file of its own."""

    def __call__(self, host: Host) -> Contribution | None:
        """What this source finds on `host`, reading only; `None` when it has no business on such a host."""
        ...


def merged(parts: Iterable[Contribution]) -> Contribution:
    """One contribution of several: the earlier wins, the later fills what it left open."""
    parts = tuple(parts)
    return Contribution(
        domains=_united((d for p in parts for d in p.domains), lambda d: d.name),
        routers=_united((r for p in parts for r in p.routers), lambda r: r.name),
        retimers=_united((r for p in parts for r in p.retimers), lambda r: r.name),
        functions=_united((f for p in parts for f in p.functions), lambda f: f.address),
        enclosure_of={key: value for p in reversed(parts) for key, value in p.enclosure_of.items()},
        unjoined={key: value for p in reversed(parts) for key, value in p.unjoined.items()},
        usb=_united((u for p in parts for u in p.usb), lambda u: u.location),
        details={key: value for p in reversed(parts) for key, value in p.details.items()},
        looked_at=tuple(dict.fromkeys(text for p in parts for text in p.looked_at)),
        problems=tuple(dict.fromkeys(text for p in parts for text in p.problems)),
    )


def _united(facts: Iterable[T], key: Callable[[T], Hashable]) -> tuple[T, ...]:
    found: dict[Hashable, T] = {}
    for fact in facts:
        known = found.get(key(fact))
        found[key(fact)] = fact if known is None else _filled(known, fact)
    return tuple(found.values())


def _filled(known: T, later: T) -> T:
    gaps = [f.name for f in fields(known) if getattr(known, f.name) in (None, "")]
    return replace(known, **{name: getattr(later, name) for name in gaps})
