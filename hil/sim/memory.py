"""Sparse memory behind a descriptor, and the bookkeeping of a card's VRAM: a 48 GB card costs what was touched."""

from __future__ import annotations

import bisect
import mmap
import os
import weakref

from hil.model import MIB

BLOCK = 2 * MIB
KEPT_BYTES = 512 * MIB
"""Memory of a card that is wiped rather than given back when it is freed: to touch a fresh page takes ten times as long
as to write to a used one (3.5 µs for 4 KiB on a virtual machine)."""
_ZEROS = bytes(BLOCK)


class SharedMemory:
    """Anonymous memory that can be passed to another process by descriptor; zero until written.

    Linux: `memfd_create`. macOS: a shared-memory object that is unlinked as soon as it is open. (Python's own
    `multiprocessing.shared_memory` is no choice: before 3.13 a client that exits unlinks it for everybody.)
    What is not closed is given back with the object.

    Raises:
        OSError, OverflowError: there is not so much.

    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = anonymous()
        self._close_descriptor = weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, size)
        self._map = mmap.mmap(self.descriptor, size)
        self.view = memoryview(self._map)
        # In blocks, kept here because macOS cannot tell. A dirty block may hold something else than zeros.
        self._dirty: set[int] = set()
        self._backed: set[int] = set()
        self.changes = 0
        """How often `write` or `clear` was called."""
        self.closed = False

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`; what is written in another way is not known to `clear`."""
        end = offset + len(data)
        self.changes += 1
        self.view[offset:end] = data
        blocks = range(offset // BLOCK, -(-end // BLOCK))
        self._dirty.update(blocks)
        self._backed.update(blocks)

    def clear(self, offset: int, length: int) -> None:
        """Let `length` bytes at `offset` read as zero; both in whole pages, which are given back where that is wise."""
        end = offset + length
        self.changes += 1
        # macOS cannot give back a part of a shared-memory object.
        give_back = hasattr(mmap, "MADV_REMOVE") and len(self._backed) * BLOCK > KEPT_BYTES
        for block in [b for b in self._dirty if offset < (b + 1) * BLOCK and b * BLOCK < end]:
            start, stop = max(block * BLOCK, offset), min((block + 1) * BLOCK, end)
            whole = {block} if stop - start == BLOCK else set()
            if give_back:
                self._map.madvise(mmap.MADV_REMOVE, start, stop - start)
                self._backed -= whole
            else:
                self.view[start:stop] = _ZEROS[: stop - start]
            self._dirty -= whole

    def close(self) -> None:
        """Unmap and close."""
        self.closed = True
        self.view.release()
        self._map.close()
        self._close_descriptor()


def anonymous() -> int:
    """A descriptor of memory that nobody else knows."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hil", os.MFD_CLOEXEC)
    return unlinked()


def unlinked() -> int:
    """As `anonymous`, where there is no `memfd_create`."""
    # CPython's own binding of shm_open(3), the one that `multiprocessing` stands on.
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
        """An address for `nbytes` bytes (at least one granule), or `None` where no free range is long enough."""
        length = max(-(-nbytes // self.GRANULE), 1) * self.GRANULE
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
