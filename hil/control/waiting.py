"""Waiting for an enclosure to be there with its GPU, or to be gone, with a deadline on the host's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hil.control.news import names_on_buses, news
from hil.discovery import glance
from hil.errors import LinkFault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hil.hosts import Host
    from hil.model import Inventory, PciFunction, Router

_BRIDGE: Final = 0x0604  # PCI class and subclass
_COLONS: Final = 2
"""In the name of a PCI function; a retimer's has one, a router's none."""


def wait_present(
    host: Host,
    enclosure: Router,
    *,
    deadline: float,
    look: Callable[[Host], Inventory] = glance,
    gpus: int = 1,
    before: frozenset[str] = frozenset(),
) -> float:
    """Wait until the enclosure's router and its GPUs are enumerated.

    Args:
        host: the host that it hangs on.
        enclosure: its router, as discovered before; found again by its uid, on whatever port.
        deadline: seconds of the host's clock from now.
        look: how to look; for an inventory that is narrower and so faster than the default.
        gpus: how many GPUs must be there; 0 = the router alone will do.
        before: `names_on_buses` before it was plugged in, which saves looks; empty = not known.

    Returns:
        Seconds of the host's clock that it took.

    Raises:
        LinkFault: the router did not come back, or it did and its PCIe tunnel did not.

    """

    def too_early(names: frozenset[str]) -> bool:
        if not before or enclosure.name in before:
            return False  # it may have been there all the time
        came = names - before
        return not any(name.count(":") == _COLONS for name in came) if gpus else not came

    met, seconds, seen = _wait(
        host,
        look,
        lambda inventory: _there(inventory, enclosure) and _gpus(inventory, enclosure) >= gpus,
        deadline,
        too_early,
    )
    if met:
        return seconds
    if not _there(seen, enclosure):
        raise LinkFault(
            f"{_name(enclosure)}: router did not come back within {deadline:g} s; "
            f"check cable and supply{_because(seen)}",
            operation="wait until present",
        )
    found = _gpus(seen, enclosure)
    what = "no 10de function" if found == 0 else f"{found} of {gpus} 10de functions"
    raise LinkFault(
        f"{_name(enclosure)}: PCIe tunnel missing: router is there, {what} after {deadline:g} s{_because(seen)}",
        operation="wait until present",
    )


def wait_gone(
    host: Host,
    enclosure: Router,
    *,
    deadline: float,
    look: Callable[[Host], Inventory] = glance,
    router_too: bool = True,
    functions: Collection[str] = (),
) -> float:
    """Wait until the host has let go of the enclosure.

    Args:
        host: the host that it hung on.
        enclosure: its router, as discovered before.
        deadline: seconds of the host's clock from now.
        look: how to look.
        router_too: whether the router is to go (a pulled cable), or its functions alone (an orderly removal).
        functions: BDFs that it had (`Enclosure.functions`): once its router is gone nothing else tells whose they were.

    Returns:
        Seconds of the host's clock that it took.

    Raises:
        LinkFault: the host still shows the router, a GPU behind it, or one of `functions`.

    """

    def left(inventory: Inventory) -> list[str]:
        behind = {gpu.function.address for gpu in inventory.gpus if _same(gpu.enclosure, enclosure)}
        stayed = {f.address for f in inventory.functions if f.address in functions and not _is_root_port(f)}
        shown = sorted(stayed | behind)
        router = ["router"] if router_too and _there(inventory, enclosure) else []
        return router + [f"function {address}" for address in shown]

    def too_early(names: frozenset[str]) -> bool:
        return (router_too and enclosure.name in names) or not names.isdisjoint(functions)

    met, seconds, seen = _wait(host, look, lambda inventory: not left(inventory), deadline, too_early)
    if met:
        return seconds
    raise LinkFault(
        f"{_name(enclosure)}: still there {deadline:g} s after the detach: {', '.join(left(seen))}; "
        f"either nothing was detached, or the host did not notice{_because(seen)}",
        operation="wait until gone",
    )


def wait_functions(
    host: Host,
    name: str,
    functions: Collection[str],
    *,
    there: bool,
    deadline: float,
    look: Callable[[Host], Inventory] = glance,
) -> float:
    """Wait until all of `functions` are enumerated, or none of them any more.

    Args:
        host: the host that they hang on.
        name: whose they are, for messages.
        functions: BDFs.
        there: whether they are to come, or to go.
        deadline: seconds of the host's clock from now.
        look: how to look.

    Returns:
        Seconds of the host's clock that it took.

    Raises:
        LinkFault: some did not come, or did not go; names them.

    """

    def wrong(inventory: Inventory) -> list[str]:
        shown = {function.address for function in inventory.functions}
        return sorted(address for address in functions if (address in shown) is not there)

    def too_early(names: frozenset[str]) -> bool:
        return bool(names) and any((address in names) is not there for address in functions)

    met, seconds, seen = _wait(host, look, lambda inventory: not wrong(inventory), deadline, too_early)
    if met:
        return seconds
    what = "not there" if there else "still there"
    raise LinkFault(
        f"{name}: {what} after {deadline:g} s: function {', '.join(wrong(seen))}{_because(seen)}",
        operation=f"wait until its functions {'came' if there else 'went'}",
    )


def _wait(
    host: Host,
    look: Callable[[Host], Inventory],
    good: Callable[[Inventory], bool],
    deadline: float,
    too_early: Callable[[frozenset[str]], bool] = lambda _: False,
) -> tuple[bool, float, Inventory]:
    """Look until it is `good`; straight after news not where `too_early` says by the names alone that it cannot be."""
    clock = host.clock
    begin = clock.now()
    with news(host) as wait_for_news:
        told = True
        while True:
            left = begin + deadline - clock.now()
            if left <= 0 or not told or not too_early(names_on_buses(host)):
                seen = look(host)
                if good(seen):
                    return True, clock.now() - begin, seen
                if left <= 0:
                    return False, clock.now() - begin, seen
            told = wait_for_news(left)


def _is_root_port(function: PciFunction) -> bool:
    # The tunnel's near end: a Mac counts it among the enclosure's functions, and it stays with the host.
    return function.parent is None and function.class_code is not None and function.class_code >> 8 == _BRIDGE


def _same(router: Router | None, enclosure: Router) -> bool:
    if router is None:
        return False
    return router.uid == enclosure.uid if enclosure.uid else router.name == enclosure.name


def _there(inventory: Inventory, enclosure: Router) -> bool:
    return any(_same(router, enclosure) for router in inventory.routers)


def _gpus(inventory: Inventory, enclosure: Router) -> int:
    return sum(_same(gpu.enclosure, enclosure) for gpu in inventory.gpus)


def _name(enclosure: Router) -> str:
    return f"{enclosure.device_name or 'enclosure'} ({enclosure.uid or enclosure.name})"


def _because(inventory: Inventory) -> str:
    return "; discovery says: " + " ".join(inventory.problems) if inventory.problems else ""
