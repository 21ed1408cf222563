"""Wrong calls are refused with an error that a program can use, and harm nothing."""

from __future__ import annotations

import pytest

from hil.fixtures.calls import Calls
from hil.fixtures.transfer import Transfer
from hil.fixtures.vram import Vram
from hil.model import KIB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("normal"), pytest.mark.quick]
WRONG_CALLS = (
    "copy past the end",
    "offset past the end",
    "free twice",
    "copy to freed memory",
    "allocate nothing",
    "allocate more than there is",
    "allocate as good as all addresses",
    "use freed host memory",
    "open what is not there",
)
NO_MEMORY = {"allocate more than there is", "allocate as good as all addresses"}


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_a_wrong_call_is_refused_and_harms_nothing(calls: Calls, transfer: Transfer, vram: Vram, call: str) -> None:
    """The call comes back with a numbered error; free memory is as before, and the next transfer is intact.

    A failure means a driver that corrupts what lies behind a buffer, leaks on its error path, reports success
    without effect, or whose error a program cannot tell from another.
    """
    free = vram.free_bytes()
    refusal = calls.refusal(call)
    assert refusal.refused, f"{call}: the driver accepted it, expected an error"
    assert refusal.kind == "ValueError" or refusal.code, f"{call}: refused without a code: {refusal.text}"
    told = refusal.kind == "OutOfMemory"
    assert told == (call in NO_MEMORY), f"{call}: {'told as' if told else 'not'} out of memory: {refusal.text}"
    assert vram.free_bytes() == free, f"{call}: free memory was {free} bytes before, and is not now"
    transfer.round_trip(64 * KIB)
