"""Device memory to its end and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.errors import OutOfMemory

if TYPE_CHECKING:
    from hil.bench.worker import Context
    from hil.copy import DeviceBuffer


def exhaust(context: Context, *, nbytes: int) -> dict[str, Any]:
    """Allocate pieces of `nbytes` bytes until the device refuses, then free them all.

    Returns:
        ``free_before``, ``free_after`` and ``total`` in bytes; ``pieces`` allocated; ``code``, ``refusal`` of the
        allocation that was refused (`None` where none was: more was given than there is).

    """
    engine = session(context).engine
    free_before, total = engine.memory()
    held: list[DeviceBuffer] = []
    code: int | str | None = None
    refusal: str | None = None
    try:
        while len(held) * nbytes <= total:
            held.append(engine.alloc(nbytes))
    except OutOfMemory as error:
        code, refusal = error.code, str(error)
    pieces = len(held)
    for buffer in held:
        engine.free(buffer)
    free_after, _ = engine.memory()
    return {
        "free_before": free_before,
        "free_after": free_after,
        "total": total,
        "pieces": pieces,
        "code": code,
        "refusal": refusal,
    }
