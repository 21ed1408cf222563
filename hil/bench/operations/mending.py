"""Making a device well by a reset: its config space is saved while it is well, and put back behind the reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import close_session
from hil.errors import DeviceFault
from hil.model import Gpu, from_dict, to_dict
from hil.pci import ConfigSnapshot, open_function, restore, snapshot, wait_ready

if TYPE_CHECKING:
    from hil.bench.worker import Context
    from hil.pci import FunctionAccess


def save(context: Context, *, gpu: dict[str, Any]) -> dict[str, Any]:
    """What a reset would clear of the function's config space: a `ConfigSnapshot` as a dict."""
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        facts: dict[str, Any] = to_dict(snapshot(access))
    finally:
        access.close()
    return facts


def revive(
    context: Context, *, gpu: dict[str, Any], saved: dict[str, Any] | None, ready_within: float
) -> dict[str, Any]:
    """Reset a function, whether or not it answers, and wait until it does.

    Args:
        context: of this process.
        gpu: a `Gpu` as a dict.
        saved: what `save` gave when it was well, and is put back; `None` = what it reads as before the reset, if
            it answers.
        ready_within: seconds of the host's clock until it must answer.

    Returns:
        ``seconds`` until it was ready, and ``lost``: what had to be put back, one sentence each.

    Raises:
        DeviceFault: it does not answer in time, is another one, or does not take its config space.

    """
    close_session(context)
    access = open_function(context.host, from_dict(Gpu, gpu))
    try:
        before = _readable(access) if saved is None else from_dict(ConfigSnapshot, saved)
        access.reset()
        seconds = wait_ready(access, context.host.clock, ready_within)
        lost = () if before is None else restore(access, before, context.host.clock)
    finally:
        access.close()
    return {"seconds": seconds, "lost": list(lost)}


def _readable(access: FunctionAccess) -> ConfigSnapshot | None:
    try:
        return snapshot(access)
    except DeviceFault:
        return None
