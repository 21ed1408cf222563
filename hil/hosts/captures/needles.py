"""Many byte strings found in one pass: hundreds of ids are looked for in the 20 MB of a Mac's I/O registry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

_HEAD = 4
"""Bytes by which candidates are told; no needle may be shorter."""


class Needles:
    """Byte strings and what is to stand in their place.

    Args:
        pairs: original → replacement of the same length; each of 4 bytes at least.

    """

    def __init__(self, pairs: Mapping[bytes, bytes]) -> None:
        self._pairs = dict(pairs)
        self._by_head: dict[bytes, list[bytes]] = defaultdict(list)
        self._starts = np.zeros(1 << 16, dtype=bool)
        for needle in sorted(self._pairs, key=len, reverse=True):
            self._by_head[needle[:_HEAD]].append(needle)
            self._starts[int.from_bytes(needle[:2], "little")] = True
        self._heads = np.array([int.from_bytes(head, "little") for head in self._by_head], dtype=np.uint32)

    def find(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Offset and needle, in order of the offsets; of those at one offset the longest."""
        if len(content) < _HEAD or not self._pairs:
            return
        data = np.frombuffer(content, dtype=np.uint8).astype(np.uint16)
        two = data[:-1] | data[1:] << 8
        places = np.flatnonzero(self._starts[two[:-2]])
        four = two[places].astype(np.uint32) | two[places + 2].astype(np.uint32) << 16
        for place in places[np.isin(four, self._heads)].tolist():
            fits = (n for n in self._by_head[content[place : place + _HEAD]] if content.startswith(n, place))
            needle = next(fits, None)
            if needle is not None:
                yield place, needle

    def replaced_in(self, content: bytes) -> bytes:
        """`content` with replacements."""
        out, end = bytearray(content), 0
        for place, needle in self.find(content):
            if place >= end:
                end = place + len(needle)
                out[place:end] = self._pairs[needle]
        return bytes(out) if end else content
