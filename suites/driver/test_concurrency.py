"""Two clients of one device at once: neither sees, nor harms, what the other has."""

from __future__ import annotations

import pytest

from hil.fixtures.contexts import Contexts
from hil.fixtures.transfer import Transfer
from hil.fixtures.vram import Vram
from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("critical")


@pytest.mark.quick
def test_two_contexts_do_not_see_each_others_memory(contexts: Contexts) -> None:
    """The second cannot read the first's buffer, finds none of its data in fresh memory, and leaves it as it was.

    A driver may serve one context only: then it has to refuse the second with a code. A failure is one program's
    data in another's hands.
    """
    both = contexts.two(MIB)
    if both.refused:
        assert both.code, f"the second context was refused without a code: {both.refused}"
        return
    assert not both.reached, "the second context read the first's buffer"
    assert both.pages == 0, f"{both.pages} pages of fresh memory held the first context's data"
    assert (both.first, both.second, both.after) == ("", "", "")


def test_a_second_process_is_served_or_refused(contexts: Contexts, transfer: Transfer) -> None:
    """While one process holds the device, another opens it: its copy is intact, or it is refused with a code, at once.

    TinyGPU serves one process, others many. A failure is a second one that waits for ever, or spoils the first.
    """
    transfer.round_trip(64 * KIB)
    contexts.second_process(MIB)
    transfer.round_trip(64 * KIB)


def test_memory_that_one_process_freed_holds_nothing_of_it_for_another(vram: Vram) -> None:
    """A process fills memory, frees it by a call and goes on; another finds nothing of it in the memory that it gets.

    Within a process freed memory may come back as it was: it is the process's own. A failure is a driver that wipes
    memory when its owner ends, and not when it is given back before that: one program's data in another's hands.
    """
    vram.imprint(8 * MIB)
    vram.forget()
    pages = vram.imprinted_pages_of_another(16 * MIB)
    assert pages == 0, f"fresh memory: expected no page of what another process freed, seen {pages} of 2048"
