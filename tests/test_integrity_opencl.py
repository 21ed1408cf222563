"""Negative control on a real driver: what is corrupted beneath an OpenCL buffer is found, and called what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from hil.bench.operations import session
from hil.bench.operations.transfer import round_trip
from hil.bench.worker import Context
from hil.copy.opencl import OpenCLEngine
from hil.hosts.local import LocalHost
from hil.integrity import GUARD_BYTES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NBYTES = 300_000


class Spoilt(OpenCLEngine):
    """A real driver on a device whose memory somebody changes after each large upload."""

    spoil: Callable[[np.ndarray], None] | None = None
    """Given what the device's whole buffer holds."""

    def upload(self, dst: Any, src: Any, nbytes: int, **where: int) -> None:
        super().upload(dst, src, nbytes, **where)
        if self.spoil is None or nbytes < NBYTES:
            return
        import pyopencl as cl  # noqa: PLC0415  (may be missing: the fixture skips then)

        self.synchronize()
        memory = np.empty(dst.nbytes, np.uint8)
        with cl.CommandQueue(self._context) as queue:
            cl.enqueue_copy(queue, memory, dst.handle)
            self.spoil(memory)
            cl.enqueue_copy(queue, dst.handle, memory)


@pytest.fixture
def spoilt() -> Iterator[tuple[Context, Spoilt]]:
    pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'hil[opencl]'")
    host = LocalHost()
    found = OpenCLEngine.devices(host)
    if not found:
        pytest.skip("no OpenCL driver lists a device: install one, e.g. pip install 'pyopencl[pocl]'")
    engine = Spoilt.open(host, found[0].target)
    assert isinstance(engine, Spoilt)
    context = Context(host=host, device="card", progress=lambda _: None, state={"session": session.Session(engine)})
    yield context, engine
    session.close_session(context)
    host.close()


def data_of(memory: np.ndarray) -> np.ndarray:
    return memory[GUARD_BYTES : GUARD_BYTES + NBYTES]


def flip(memory: np.ndarray) -> None:
    data_of(memory)[123_456] ^= 8


def drop(memory: np.ndarray) -> None:
    data_of(memory)[4096:8192] = 0


def swap(memory: np.ndarray) -> None:
    pages = data_of(memory)
    pages[8192:12288], pages[40960:45056] = pages[40960:45056].copy(), pages[8192:12288].copy()


def shift(memory: np.ndarray) -> None:
    data_of(memory)[65536:131072] = data_of(memory)[65533:131069].copy()


def alias(memory: np.ndarray) -> None:
    data = data_of(memory)[: NBYTES // 8192 * 8192].reshape(-1, 2, 4096)
    data[:, 0] = data[:, 1]


def overrun(memory: np.ndarray) -> None:
    memory[GUARD_BYTES + NBYTES :][:64] = memory[GUARD_BYTES + NBYTES - 64 :][:64]


def underrun(memory: np.ndarray) -> None:
    memory[GUARD_BYTES - 64 :][:64] = memory[GUARD_BYTES:][:64]


@pytest.mark.parametrize(
    ("spoil", "kind", "offset"),
    [
        (flip, Kind.BIT_FLIP, 123_456),
        (drop, Kind.ZEROS, 4096),
        (swap, Kind.SWAPPED, 8192),
        (shift, Kind.BYTE_SHIFTED, 65536),
        (alias, Kind.ALIAS, 0),
        (overrun, Kind.OVERRUN, NBYTES),
        (underrun, Kind.UNDERRUN, -64),
    ],
)
@pytest.mark.parametrize("via_device", [False, True])
def test_corruption_beneath_a_buffer_of_a_real_driver_is_found_and_named(
    spoilt: tuple[Context, Spoilt],
    spoil: Callable[[np.ndarray], None],
    kind: Kind,
    offset: int,
    via_device: bool,
):
    context, engine = spoilt
    engine.spoil = spoil
    report = round_trip(context, nbytes=NBYTES, epoch=77, via_device=via_device)
    assert not report["intact"]
    found = [(finding["kind"], finding["offset"]) for finding in report["findings"]]
    assert [place for place in found if place[0] == kind] == [(kind, offset)], report["text"]
    assert ET.fromstring(report["picture"]).tag.endswith("svg")


@pytest.mark.parametrize("offsets", [(0, 0), (7, 63)])
def test_without_it_the_same_transfer_is_intact(spoilt: tuple[Context, Spoilt], offsets: tuple[int, int]):
    context, engine = spoilt
    for _ in range(2):
        report = round_trip(
            context, nbytes=NBYTES, epoch=77, src_offset=offsets[0], dst_offset=offsets[1], via_device=True
        )
        assert report["intact"], report["text"]
        assert "picture" not in report
    free, total = engine.memory()
    assert free == total
