"""What a device process asks of the bus: is the function there, what does its config space say, reset it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import Session, close_session
from hil.errors import DeviceFault, DeviceGone, DriverError, NotSupported
from hil.model import Gpu, from_dict
from hil.pci import (
    COMMAND,
    FunctionAccess,
    SysfsFunction,
    differences,
    identify,
    open_function,
    presence,
    read_number,
    restore,
    serial_number,
    snapshot,
    wait_ready,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.worker import Context

_TAKES_PART = 0b110
"""Bits of COMMAND: it answers memory requests, and may make its own."""
READY_WITHIN = 1.0
"""Seconds from a reset until every function answers (PCI Express Base Specification 6.0, 6.6.1)."""
BARS = (0, 1, 3)
"""Those of an NVIDIA GPU: registers, memory window, registers of its boot processor; the others are their upper halves
or I/O ports."""


def health(context: Context, *, gpu: dict[str, Any] | None) -> str:
    """The cheap probe: a register read and, where the engine is open, a question to the driver.

    Returns:
        ``ready``, or what is wrong, in words.

    """
    if gpu is not None and not unreachable(context, gpu=gpu):
        access = open_function(context.host, from_dict(Gpu, gpu))
        try:
            state = presence(access)
        finally:
            access.close()
        if state != "ready":
            return f"its vendor id reads as {'all ones' if state == 'gone' else 'not ready yet (0xffff0001)'}"
    found = context.state.get("session")
    if isinstance(found, Session):
        found.engine.memory()
    return "ready"


def unreachable(context: Context, *, gpu: dict[str, Any]) -> str:
    """Why this host offers no way to the function's registers, by design; empty if it does.

    Asked once: it does not change while the host is up (TinyGPU opens one GPU of a Mac and no other).
    """
    key = f"unreachable {gpu['id']}"
    if key not in context.state:
        try:
            open_function(context.host, from_dict(Gpu, gpu)).close()
            context.state[key] = ""
        except NotSupported as error:
            context.state[key] = str(error)
    return str(context.state[key])


def reset(
    context: Context, *, gpu: dict[str, Any], kind: str | None, ready_within: float, after: float = 0.0
) -> dict[str, Any]:
    """Reset the function; wait until it answers; compare its config space and put it back.

    The engine is closed first: a reset under an open context loses its memory, which other operations try.

    Args:
        context: of this process.
        gpu: a `Gpu` as a dict.
        kind: ``flr``, ``bus``, …; `None` = what the driver or kernel chooses.
        ready_within: seconds of the host's clock until it must answer.
        after: seconds of the host's clock to wait before it.

    Returns:
        ``seconds`` until it was ready, ``lost``: what the config space had forgotten, one sentence each, and
        ``wrong``: what differs still after it was restored.

    """
    close_session(context)
    context.host.clock.sleep(after)
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        before = snapshot(access)
        identity = identify(access)
        start = context.host.clock.now()
        access.reset(kind)
        wait_ready(access, context.host.clock, ready_within)
        seconds = context.host.clock.now() - start
        lost = differences(before, snapshot(access))
        restore(access, before, context.host.clock)
        wrong = list(differences(before, snapshot(access)))
        if identify(access) != identity:
            wrong.append("it identifies as another chip")
    finally:
        access.close()
    return {"seconds": seconds, "lost": list(lost), "wrong": wrong}


def identity(context: Context, *, gpu: dict[str, Any]) -> dict[str, int]:
    """Vendor and device id as the bus has them now."""
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        ids = access.config_read(0, 4)
    finally:
        access.close()
    return {"vendor_id": int.from_bytes(ids[:2], "little"), "device_id": int.from_bytes(ids[2:], "little")}


def portrait(context: Context, *, gpu: dict[str, Any], functions: Sequence[str] = ()) -> dict[str, Any]:
    """What the function's registers tell of who it is.

    Args:
        context: of this process.
        gpu: a `Gpu` as a dict.
        functions: addresses of its card's functions.

    Returns:
        ``bars``: sizes in bytes by number, as text, of those that are there; ``chip``: BOOT_0 and BOOT_42, `None`
        where its memory decoding is off, as it is while no driver has it; ``serial``: its device serial number,
        `None` if it has none; ``ids``: vendor and device id that each of `functions` answers with, by address (on a
        Mac empty: TinyGPU serves the GPU's own function alone); ``commands``: in the same way, the bits of COMMAND that
        let it be reached and do DMA.

    """
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        facts = {"bars": _bars(access), "chip": _chip(access), "serial": serial_number(access)}
    finally:
        access.close()
    linux = context.host.facts().system == "Linux"
    told = {address: _ids_and_command(context, address) for address in functions if linux}
    return {
        **facts,
        "ids": {address: ids for address, (ids, _) in told.items()},
        "commands": {address: command for address, (_, command) in told.items()},
    }


def _ids_and_command(context: Context, address: str) -> tuple[str, int]:
    access = SysfsFunction(context.host, address)
    with suppress(DeviceFault):  # what it reads as is told below
        # The kernel waits for the function that it resets, and for no other of the card.
        wait_ready(access, context.host.clock, READY_WITHIN)
    ids = read_number(access, 0, 4)
    return f"{ids & 0xFFFF:04x}:{ids >> 16:04x}", read_number(access, COMMAND, 2) & _TAKES_PART


def _bars(access: FunctionAccess) -> dict[str, int]:
    found = {}
    for bar in BARS:
        with suppress(DriverError):  # TinyGPU does not tell a BAR that is missing from one that cannot be mapped
            found[str(bar)] = access.bar_size(bar)
    return {bar: size for bar, size in found.items() if size}


def _chip(access: FunctionAccess) -> str | None:
    try:
        chip = identify(access)
    except DeviceGone:
        raise
    except DriverError:
        return None
    return f"{chip.boot_0:#010x}/{chip.boot_42:#010x}"


def reset_kinds(context: Context, *, gpu: dict[str, Any]) -> list[str]:
    """Kinds of reset that the host offers for the function."""
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        return list(access.reset_kinds())
    finally:
        access.close()
