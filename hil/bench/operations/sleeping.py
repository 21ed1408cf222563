"""The host's sleep, and what a client that held a device over it finds when it wakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.control import cannot_sleep, sleep_host
from hil.errors import DriverError
from hil.integrity import fill, verify
from hil.model import Gpu, from_dict, to_dict
from hil.pci import KEPT_BY_RESETS, ConfigSnapshot, differences, open_function, snapshot

if TYPE_CHECKING:
    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer

HELD = 5
"""Number of the buffer in the pattern that a client holds over a sleep."""


@dataclass(frozen=True, slots=True)
class Held:
    """Device memory with a pattern in it."""

    buffer: DeviceBuffer
    nbytes: int
    epoch: int


def cannot(context: Context) -> str:
    """Why the host cannot be put to sleep; empty if it can be."""
    return cannot_sleep(context.host)


def sleep(context: Context, *, seconds: int) -> float:
    """Let the host sleep; see `hil.control.sleep_host`."""
    return sleep_host(context.host, seconds)


def hold(context: Context, *, nbytes: int, epoch: int) -> None:
    """Fill `nbytes` bytes of device memory with the pattern of `epoch`, and keep them."""
    work = session(context)
    here, there = work.borrow(nbytes), work.alloc(nbytes)
    fill(here.view[:nbytes], epoch=epoch, buffer_id=HELD)
    work.engine.upload(there, here, nbytes)
    work.engine.synchronize()
    work.give_back(here)
    context.state["held"] = Held(there, nbytes, epoch)


def look(context: Context) -> dict[str, Any]:
    """What the memory that `hold` keeps holds now.

    Returns:
        ``refusal``: the error with which the driver refused to read it, in words; else empty, and a `Report` as a
        dict beside it, with ``text`` for people.

    """
    held = context.state.pop("held")
    assert isinstance(held, Held)  # noqa: S101  (`hold` was called)
    work = session(context)
    try:
        here = work.borrow(held.nbytes)
        fill(here.view[: held.nbytes], epoch=held.epoch - 1, buffer_id=HELD)
        work.engine.download(here, held.buffer, held.nbytes)
        work.engine.synchronize()
    except DriverError as error:
        return {"refusal": str(error)}
    report = verify(
        here.view[: held.nbytes], epoch=held.epoch, buffer_id=HELD, first_byte=0, unwritten_epoch=held.epoch - 1
    )
    work.give_back(here)
    work.engine.free(held.buffer)
    return {"refusal": "", **to_dict(report), "text": report.text()}


def note_config(context: Context, *, gpu: dict[str, Any]) -> None:
    """Remember the registers that a driver depends on and a loss of power clears."""
    context.state["config"] = _config(context, gpu)


def config_changes(context: Context, *, gpu: dict[str, Any]) -> list[str]:
    """What is different in config space since `note_config`, one sentence each.

    Left out is what no reset changes and a loss of power does: whether a Mac puts it back nobody knows, and an idle
    card may be asleep.
    """
    before = context.state.pop("config")
    assert isinstance(before, ConfigSnapshot)  # noqa: S101  (`note_config` was called)
    return [one for one in differences(before, _config(context, gpu)) if not one.startswith(KEPT_BY_RESETS)]


def _config(context: Context, gpu: dict[str, Any]) -> ConfigSnapshot:
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        return snapshot(access)
    finally:
        access.close()
