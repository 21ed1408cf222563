"""Memory that nobody has any business with any more, filled and watched: a late or stray write is seen there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.bench.operations.verdicts import verdict
from hil.integrity import Report, fill, verify

if TYPE_CHECKING:
    from hil.bench.worker import Context

WATCHED, TRAFFIC = 20, 120
"""Numbers of the first watched buffer, and of the first that is copied, in the pattern."""
Checked = tuple[str, Report]


def watch(context: Context, *, nbytes: int, buffers: int, epoch: int) -> dict[str, Any]:
    """Use buffers, retire every second one as a canary, let others copy in their neighbourhood, then look at all.

    Host buffers were the target of downloads, and hold a canary's pattern since these were reported as done. Half of
    the device's buffers are freed; what is allocated afterwards, mostly in their place, is copied to, while a copy to
    a freed buffer was under way as it was freed. The device's other half is never written to again.

    Returns:
        See `verdict`; a part is a buffer.

    """
    work, engine = session(context), session(context).engine
    hosts, cards = [work.borrow(nbytes) for _ in range(buffers)], [work.alloc(nbytes) for _ in range(buffers)]
    for number, (host, card) in enumerate(zip(hosts, cards, strict=True)):
        fill(host.view[:nbytes], epoch=epoch - 1, buffer_id=WATCHED + number)
        engine.upload(card, host, nbytes)
        engine.download(host, card, nbytes, stream=1 + number % 2)
    engine.synchronize()
    for number, (host, card) in enumerate(zip(hosts, cards, strict=True)):
        fill(host.view[:nbytes], epoch=epoch, buffer_id=WATCHED + number)
        if number % 2:
            engine.upload(card, host, nbytes)
    engine.synchronize()
    moving = work.borrow(nbytes)
    fill(moving.view[:nbytes], epoch=epoch, buffer_id=TRAFFIC - 1)
    for card in cards[::2]:
        engine.upload(card, moving, nbytes, stream=1)
        engine.free(card)
    fresh = [work.alloc(nbytes) for _ in cards[::2]]
    for number, card in enumerate(fresh):
        engine.synchronize()
        fill(moving.view[:nbytes], epoch=epoch, buffer_id=TRAFFIC + number)
        engine.upload(card, moving, nbytes)
    engine.synchronize()
    checked: list[Checked] = [
        (f"host buffer {number}, retired", verify(host.view[:nbytes], epoch=epoch, buffer_id=WATCHED + number))
        for number, host in enumerate(hosts)
    ]
    whose = [(f"device buffer {n}, not written to again", cards[n], WATCHED + n) for n in range(1, buffers, 2)]
    whose += [(f"device buffer {n}, in freed memory", card, TRAFFIC + n) for n, card in enumerate(fresh)]
    for name, card, number in whose:
        fill(moving.view[:nbytes], epoch=epoch - 1, buffer_id=number)
        engine.download(moving, card, nbytes)
        engine.synchronize()
        report = verify(moving.view[:nbytes], epoch=epoch, buffer_id=number, unwritten_epoch=epoch - 1)
        checked.append((name, report))
    for card in (*cards[1::2], *fresh):
        engine.free(card)
    for host in (*hosts, moving):
        work.give_back(host)
    return verdict(checked)
