"""Copies for so long, with the card's own figures and the rate of each copy on the way."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.integrity import fill, verify
from hil.model import Gpu, from_dict, to_dict
from hil.watch.telemetry import sampling

if TYPE_CHECKING:
    from hil.bench.worker import Context

EPOCH, LOAD = 1, 61
"""Epoch and number of the buffer in the pattern: real data, since zeros warm nothing and compress well."""


def warm(
    context: Context, *, nbytes: int, seconds: float, every: float, gpu: dict[str, Any] | None, depth: int = 1
) -> dict[str, Any]:
    """Upload and download `nbytes` bytes in turn, `depth` times each, until `seconds` of the host's clock have passed.

    Args:
        context: of this process.
        nbytes: of one copy.
        seconds: how long.
        every: seconds between two samples of the card's sensors.
        gpu: a `Gpu` as a dict, whose sensors are read; `None` = there are none to read.
        depth: copies each way that are handed in before the last of them is waited for.

    Returns:
        ``rates``: bytes/s of each turn there and back on the host's clock, in order; ``samples``: `TelemetrySample` as
        dicts, the first taken before the load; ``wrong``: what is wrong with the data after all those copies, empty if
        nothing is: each turn sends what the one before it brought back, so that a byte once wrong stays so.

    """
    work, clock = session(context), context.host.clock
    there, here = work.alloc(nbytes), work.borrow(nbytes)
    fill(here.view[:nbytes], epoch=EPOCH, buffer_id=LOAD)
    rates, samples = [], []
    with ExitStack() as stack:
        take = stack.enter_context(sampling(context.host, from_dict(Gpu, gpu))) if gpu is not None else None
        samples += [take()] if take else []
        began = next_sample = clock.now()
        while (start := clock.now()) < began + seconds:
            for _ in range(depth):
                work.engine.upload(there, here, nbytes)
            for _ in range(depth):
                work.engine.download(here, there, nbytes)
            work.engine.synchronize()
            rates.append(2 * depth * nbytes / max(clock.now() - start, 1e-9))
            if take and clock.now() >= next_sample:
                samples.append(take())
                next_sample = clock.now() + every
        samples += [take()] if take else []
    seen = verify(here.view[:nbytes], epoch=EPOCH, buffer_id=LOAD)
    work.engine.free(there)
    work.give_back(here)
    wrong = "" if seen.intact else seen.text()
    return {"rates": rates, "samples": [to_dict(sample) for sample in samples], "wrong": wrong}


def idle(context: Context, *, seconds: float) -> None:
    """Do nothing for `seconds` on the host's clock."""
    context.host.clock.sleep(seconds)
