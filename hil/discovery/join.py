"""Which enclosure holds which PCI function: the rules, for what Linux and what macOS have to tell.

Linux keeps no link between a PCI tunnel and a router. What it has: the device links from the tunnels' root
ports to the host controller (``consumer:pci:…``), or, for a controller card of older kind, the PCI switch
that the controller shares with its ports; that says which *domain*. A host's n-th tunnel port belongs to
its n-th receptacle (the kernel pairs them in that order, `usb4_switch_map_pcie_down`), and each router of a
daisy chain brings one PCI switch, two bridges deep; that says which *router*. Without a port that is known
to be a domain's, a function is joined only if it is tunnelled beyond doubt and there is exactly one
enclosure. Otherwise it stays unjoined, with the reason.

macOS writes the id of the router at the far end on the tunnel's root bridge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count, takewhile
from typing import TYPE_CHECKING

from hil.model import PciFunction, Router, RouterRole

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_BRIDGE, _USB = 0x0604, 0x0C03
_LANES_A_PORT = 2  # lane adapters come in pairs: 1 and 2 are the first receptacle, 3 and 4 the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The host controller (NHI) of a domain, a PCI function."""

    domain: str
    address: str
    consumers: tuple[str, ...] = ()
    """Addresses of the functions that the kernel linked to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The outcome of a join."""

    functions: tuple[PciFunction, ...]
    """The same functions, with `tunnelled` decided."""
    enclosure_of: Mapping[str, str]
    """Address → name of the router."""
    unjoined: Mapping[str, str]
    """Address → one sentence, why no enclosure is known for a function that may lie in one."""


def chain(function: PciFunction, by_address: Mapping[str, PciFunction]) -> list[PciFunction]:
    """The bridges above `function` from the root down, and `function` itself, last."""
    found = [function]
    while (above := by_address.get(found[-1].parent or "")) and above not in found:
        found.append(above)
    return found[::-1]


def by_endpoint(functions: Sequence[PciFunction], routers: Sequence[Router]) -> Joined:
    """Join by the `tunnel_endpoint` of the nearest bridge that has one; by elimination where none has."""
    by_address = {function.address: function for function in functions}
    enclosures = [router for router in routers if router.role is RouterRole.ENCLOSURE]
    enclosure_of: dict[str, str] = {}
    unjoined: dict[str, str] = {}
    for function in functions:
        if function.tunnelled is False or function.tunnel_endpoint:
            continue  # the bridge that a tunnel begins at is the host's: it stays when the enclosure goes
        above = chain(function, by_address)
        endpoint = next((one.tunnel_endpoint for one in reversed(above) if one.tunnel_endpoint), "")
        fits = [router.name for router in enclosures if not endpoint or router.uid == endpoint]
        if len(fits) == 1 and function.tunnelled:
            enclosure_of[function.address] = fits[0]
        elif endpoint:
            unjoined[function.address] = (
                f"its tunnel ends at router {endpoint}, which {len(fits)} enclosures on this host have"
            )
        else:
            unjoined[function.address] = (
                f"no bridge above it names its router, and there are {len(enclosures)} enclosures"
            )
    return Joined(functions=tuple(functions), enclosure_of=enclosure_of, unjoined=unjoined)


def by_kernel_topology(
    functions: Sequence[PciFunction],
    routers: Sequence[Router],
    controllers: Sequence[Controller],
    unplaced: Collection[str] = (),
) -> Joined:
    """Join by device links, the controllers' own switches and depth in the daisy chain.

    Args:
        functions: PCI functions, `tunnelled` still open.
        routers: all routers; those not authorized hold nothing.
        controllers: host controllers of the domains.
        unplaced: addresses of functions whose bridges could not be read.

    """
    by_address = {function.address: function for function in functions}
    paths = {function.address: chain(function, by_address) for function in functions}
    # An enclosure that was not authorized has no tunnel.
    enclosures = [r for r in routers if r.role is RouterRole.ENCLOSURE and r.authorized != 0]
    ports = {c.domain: _ports(c, by_address, paths) for c in controllers}
    own_switches = {switch for c in controllers if (switch := _own_switch(c, by_address))}
    told_apart = (
        not enclosures
        or any(function.removable for function in functions)
        or all(ports.get(router.domain) for router in enclosures)
    )
    decided: list[PciFunction] = []
    enclosure_of: dict[str, str] = {}
    unjoined: dict[str, str] = {}
    for function in functions:
        above = [one.address for one in paths[function.address]]
        domain, port = next(
            ((d, p) for d in sorted(ports) for p in ports[d] if p in above[:-1]),
            ("", ""),
        )
        tunnelled = (
            True if port
            else False if own_switches.intersection(above)
            else True if function.removable
            else False if told_apart and function.address not in unplaced
            else None
        )  # fmt: skip
        decided.append(replace(function, tunnelled=tunnelled))
        if tunnelled is False:
            continue
        if port:
            bridges = above[above.index(port) + 1 :]
            router, reason = _router_below(
                port, ports[domain], [r for r in enclosures if r.domain == domain], bridges, by_address
            )
        elif tunnelled and len(enclosures) == 1:
            router, reason = enclosures[0], ""
        else:
            router = None
            reason = f"no port above it is known to be a domain's, and there are {len(enclosures)} enclosures"
        if router:
            enclosure_of[function.address] = router.name
        else:
            unjoined[function.address] = reason
    return Joined(functions=tuple(decided), enclosure_of=enclosure_of, unjoined=unjoined)


def _is(function: PciFunction | None, kind: int) -> bool:
    return function is not None and function.class_code is not None and function.class_code >> 8 == kind


def _own_switch(controller: Controller, by_address: Mapping[str, PciFunction]) -> str | None:
    """Upstream port of a controller card's PCI switch: two bridges above it, below a root port."""
    above = by_address.get(controller.address)
    bridges = chain(above, by_address)[:-1] if above else []
    return bridges[-2].address if len(bridges) > 2 else None  # noqa: PLR2004  (root, up, down)


def _ports(
    controller: Controller, by_address: Mapping[str, PciFunction], paths: Mapping[str, list[PciFunction]]
) -> list[str]:
    """Addresses of the bridges behind which the tunnels of the controller's domain lie, sorted."""
    linked = [address for address in controller.consumers if _is(by_address.get(address), _BRIDGE)]
    if linked:
        return sorted(linked)
    switch = _own_switch(controller, by_address)
    taken = {
        path[-2].address
        for path in paths.values()
        if len(path) > 1
        and (path[-1].address == controller.address or _is(path[-1], _USB))
        and path[-2].parent == switch
    }
    return sorted(
        f.address
        for f in by_address.values()
        if switch and f.parent == switch and _is(f, _BRIDGE) and f.address not in taken
    )


def _router_below(
    port: str,
    ports: Sequence[str],
    enclosures: Sequence[Router],
    below: Sequence[str],
    by_address: Mapping[str, PciFunction],
) -> tuple[Router | None, str]:
    """The one of a domain's `enclosures` that holds the function at the end of `below`, under a port."""
    if not enclosures:
        return None, f"no authorized enclosure is in the domain of port {port}"
    hops = {router.name: _hops(router) for router in enclosures}
    first = {route[0] for route in hops.values() if route}
    if len(first) > 1:
        nth = {hop for hop in first if (hop - 1) // _LANES_A_PORT == ports.index(port)}
        if len(nth) != 1 or len(ports) == 1:
            return (
                None,
                f"receptacles {sorted(first)} of its domain are in use; which is port {port}'s is not known",
            )
        first = nth
    here = [router for router in enclosures if hops[router.name][:1] == [*first]]
    if len(here) == 1:
        return here[0], ""
    bridges = sum(1 for _ in takewhile(lambda address: _is(by_address.get(address), _BRIDGE), below))
    depth = max(1, (bridges + 1) // 2)
    fits = [router for router in here if len(hops[router.name]) == depth]
    if len(fits) == 1:
        return fits[0], ""
    return None, f"it lies {depth} switches deep, where the daisy chain has {len(fits)} enclosures"


def _hops(router: Router) -> list[int]:
    """Port numbers on the way from the host to `router`: the bytes of its route, lowest first."""
    route = int(router.name.rsplit("-", 1)[-1], 16)
    return [route >> 8 * n & 255 for n in takewhile(lambda n: route >> 8 * n, count())]
