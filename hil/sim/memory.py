"""Sparse memory behind a descriptor, and the bookkeeping of a card's VRAM: a 48 GB card costs what was touched."""

from __future__ import annotations

import bisect
import mmap
import os
import sys


class SharedMemory:
    """Anonymous memory that can be passed to another process by descriptor; zero until written.

    Linux: `memfd_create`. macOS: a shared-memory object that is unlinked as soon as it is open. (Python's own
    `multiprocessing.shared_memory` is no choice: before 3.13 a client that exits unlinks it for everybody.)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = _anonymous()
        os.ftruncate(self.descriptor, size)
        self._map = mmap.mmap(self.descriptor, size)
        self.view = memoryview(self._map)

    def punch(self, offset: int, length: int) -> None:
        """Let `length` bytes at `offset` read as zero and give their pages back. Both in whole pages."""
        if hasattr(mmap, "MADV_REMOVE"):
            self._map.madvise(mmap.MADV_REMOVE, offset, length)
        else:  # macOS has no way to punch a shared-memory object: clear it, the pages stay
            for start in range(offset, offset + length, 1 << 20):
                end = min(start + (1 << 20), offset + length)
                self.view[start:end] = bytes(end - start)

    def close(self) -> None:
        """Unmap and close."""
        self.view.release()
        self._map.close()
        os.close(self.descriptor)


def _anonymous() -> int:
    if sys.platform == "linux":
        return os.memfd_create("hil", os.MFD_CLOEXEC)
    from _posixshmem import shm_open, shm_unlink  # type: ignore[import-not-found]  # noqa: PLC0415

    name = f"/hil-{os.getpid()}-{os.urandom(4).hex()}"
    descriptor: int = shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=0o600)
    shm_unlink(name)
    return descriptor


class Heap:
    """First-fit allocation of device addresses; only bookkeeping, no memory is touched."""

    GRANULE = 64 << 10
    """Bytes; the page size that NVIDIA's allocator hands out at the least."""

    def __init__(self, size: int, *, reserved: int = 0) -> None:
        self.size = size
        self.reserved = reserved
        """Bytes at the start that are nobody's: the firmware's."""
        self._free: list[tuple[int, int]] = [(reserved, size - reserved)]
        self.taken: dict[int, int] = {}
        """Rounded size of each live allocation by its address."""

    @property
    def free_bytes(self) -> int:
        """Bytes that are not allocated; a single allocation can be smaller when they are scattered."""
        return sum(length for _, length in self._free)

    def allocate(self, nbytes: int) -> int | None:
        """An address for `nbytes` ≥ 1 bytes, or `None` where no free range is long enough."""
        length = -(-nbytes // self.GRANULE) * self.GRANULE
        for i, (start, room) in enumerate(self._free):
            if room >= length:
                self._free[i : i + 1] = [(start + length, room - length)] if room > length else []
                self.taken[start] = length
                return start
        return None

    def release(self, address: int) -> int:
        """Free the allocation at `address`; returns its rounded size.

        Raises:
            KeyError: nothing is allocated there.

        """
        length = self.taken.pop(address)
        i = bisect.bisect(self._free, (address, 0))
        start, end = address, address + length
        if i < len(self._free) and self._free[i][0] == end:
            end += self._free.pop(i)[1]
        if i > 0 and sum(self._free[i - 1]) == start:
            start = self._free.pop(i - 1)[0]
            i -= 1
        self._free.insert(i, (start, end - start))
        return length

    def holds(self, address: int, nbytes: int) -> bool:
        """Whether the range lies inside one live allocation."""
        return any(
            start <= address and address + nbytes <= start + length for start, length in self.taken.items()
        )
