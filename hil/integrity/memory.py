"""Other people's memory as a flat view of bytes: the buffer protocol, or DLPack where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["NoBuffer", "as_bytes", "part"]

_HOST_DEVICES = {1, 3, 11, 13}
"""Of DLPack's device types (dlpack.h, DLDeviceType): CPU, and what CUDA, ROCm pinned or managed CPU code can read."""
_DEVICE_NAMES = {
    2: "a CUDA device",
    4: "an OpenCL device",
    7: "a Vulkan device",
    8: "a Metal device",
    10: "a ROCm device",
}


class NoBuffer(TypeError, ValueError):  # noqa: N818  (what there is not says it)
    """An object that offers no memory that this process can reach."""


def as_bytes(buffer: Any, *, writable: bool = False) -> memoryview:
    """`buffer` as a flat view of bytes; nothing is copied.

    Args:
        buffer: anything with the buffer protocol (bytearray, memoryview, numpy array, mmap, …), or with ``__dlpack__``
            (a PyTorch tensor, …) in memory that the CPU can read.
        writable: whether it will be written to.

    Raises:
        NoBuffer: a `TypeError` and a `ValueError`: it has neither, or lies in a device's own memory.
        ValueError: it is not contiguous, or read-only and `writable` asked for.

    """
    try:
        view = memoryview(buffer)
    except TypeError:
        view = _of_dlpack(buffer)
    except (BufferError, ValueError) as error:
        raise ValueError(f"the memory of `buffer` ({type(buffer).__name__}) cannot be viewed: {error}") from error
    if not view.c_contiguous:
        raise ValueError("`buffer` must be contiguous: pass the whole array, or a copy of the part")
    if writable and view.readonly:
        raise ValueError("`buffer` is read-only: it cannot be filled; pass a writable copy of it")
    if not view.nbytes:
        return memoryview(bytearray())
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        # A format that memoryview does not know (half floats, records): numpy knows them all.
        flat: Any = np.asarray(view).reshape(-1).view(np.uint8)
        return memoryview(flat)


def part(view: memoryview, offset: int, nbytes: int | None) -> memoryview:
    """Bytes ``offset … offset + nbytes`` of `view`; `None` = up to its end.

    Raises:
        ValueError: they are not all in it.

    """
    if not 0 <= offset <= view.nbytes:
        raise ValueError(f"`offset` must be from 0 to the buffer's {view.nbytes} bytes, not {offset}")
    if nbytes is None:
        return view[offset:]
    if nbytes < 0:
        raise ValueError(f"`nbytes` must not be negative: {nbytes}")
    if offset + nbytes > view.nbytes:
        raise ValueError(f"`offset` + `nbytes` is {offset + nbytes}, beyond the buffer's {view.nbytes} bytes")
    return view[offset : offset + nbytes]


def _of_dlpack(buffer: Any) -> memoryview:
    name = type(buffer).__name__
    if not hasattr(buffer, "__dlpack__") or not hasattr(buffer, "__dlpack_device__"):
        raise NoBuffer(
            f"`buffer` must offer its memory (bytearray, memoryview, array, DLPack tensor, …); {name} does not"
        )
    device, number = (int(field) for field in buffer.__dlpack_device__())
    if device not in _HOST_DEVICES:
        where = _DEVICE_NAMES.get(device, f"a device of DLPack type {device}")
        raise NoBuffer(
            f"`buffer` ({name}) lies on {where} (number {number}), which the CPU cannot read: "
            "copy it to the host first (for PyTorch: tensor.cpu()), and use the copy"
        )
    try:
        array: Any = np.from_dlpack(buffer)
        return memoryview(array)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"the memory of `buffer` ({name}) cannot be viewed: {error}; for a type that numpy lacks, pass a view of "
            "it as bytes (for PyTorch: tensor.view(torch.uint8))"
        ) from error
