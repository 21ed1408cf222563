"""What goes wrong with data on its way and in memory, done to the data of any pattern: 29 kinds, parameters drawn.

A `Scene` is the memory that a transfer was to fill, with what lies around it. The patterns are ours and the ideas of
known tools, so that both are judged on the same corruption.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hil.integrity import GUARD_BYTES, Kind, Stream, fill_guards

EPOCH, BUFFER, OTHER = 1000, 7, 8
Make = Callable[[int, int, int, int], bytes]
"""``make(epoch, buffer_id, start, nbytes)``: what a tool writes there."""
PAGE = 4096
SIZES = (64, 128, 512, 4096, 16384)
"""Bytes of what is dropped, moved or mixed: cache lines, pages, chunks."""


@dataclass(slots=True)
class Scene:
    """A guard zone, the data as they should have arrived, a guard zone; to be damaged."""

    make: Make
    nbytes: int
    dice: random.Random
    address_bit: int | None = None
    """For an alias: that bit and no other."""
    memory: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.memory = bytearray(self.nbytes + 2 * GUARD_BYTES)
        fill_guards(self.memory, GUARD_BYTES, self.nbytes, epoch=EPOCH - 1)
        self.put(0, self.right(0, self.nbytes))

    def right(self, start: int, nbytes: int, *, epoch: int = EPOCH, buffer_id: int = BUFFER) -> bytes:
        """What the tool writes in `epoch` to the buffer `buffer_id`."""
        return self.make(epoch, buffer_id, start, nbytes)

    def put(self, offset: int, data: bytes) -> None:
        """Write `data`; an offset below 0 or behind the end lies in a guard zone."""
        self.memory[GUARD_BYTES + offset : GUARD_BYTES + offset + len(data)] = data

    @property
    def data(self) -> memoryview:
        """The data alone."""
        return memoryview(self.memory)[GUARD_BYTES : GUARD_BYTES + self.nbytes]

    def words(self, kind: str = "<u8") -> np.ndarray:
        """The data as numbers, up to the last whole 8 bytes."""
        return np.frombuffer(self.data[: self.nbytes // 8 * 8], kind)

    def size(self) -> int:
        """Of a piece, that leaves room for six of its kind and both ends of the buffer."""
        return self.dice.choice([size for size in SIZES if 16 * size <= self.nbytes])

    def piece(self, size: int) -> int:
        """Offset of a piece of `size` bytes on its own grid, neither the first nor the last of the buffer."""
        return size * self.dice.randrange(1, self.nbytes // size - 1)

    def pieces(self, size: int, count: int) -> list[int]:
        """Offsets of pieces that have another one between them."""
        found = self.dice.sample(range(1, self.nbytes // size - 1, 2), count)
        return [size * number for number in found]


@dataclass(frozen=True, slots=True)
class Corruption:
    """One way in which data go wrong."""

    name: str
    kind: Kind
    """As it should be called."""
    damage: Callable[[Scene], None]


CORRUPTIONS: list[Corruption] = []


def _named(name: str, kind: Kind) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    def register(damage: Callable[[Scene], None]) -> Callable[[Scene], None]:
        CORRUPTIONS.append(Corruption(name, kind, damage))
        return damage

    return register


@_named("one bit flips", Kind.BIT_FLIP)
def _flip(scene: Scene) -> None:
    scene.data[scene.dice.randrange(scene.nbytes)] ^= 1 << scene.dice.randrange(8)


@_named("two or three bits of a word flip", Kind.BIT_FLIP)
def _flips(scene: Scene) -> None:
    place = 8 * scene.dice.randrange(scene.nbytes // 8)
    for bit in scene.dice.sample(range(64), scene.dice.choice([2, 3])):
        scene.data[place + bit // 8] ^= 1 << bit % 8


@_named("bits flip all over", Kind.BIT_FLIP)
def _soft_flips(scene: Scene) -> None:
    for place in scene.dice.sample(range(scene.nbytes // 8), scene.dice.randrange(9, 200)):
        scene.data[8 * place + scene.dice.randrange(8)] ^= 1 << scene.dice.randrange(8)


@_named("a data line is stuck", Kind.STUCK_BIT)
def _stuck_line(scene: Scene) -> None:
    mask = np.uint64(1 << scene.dice.randrange(64))
    words = scene.words()
    words[:] = words | mask if scene.dice.random() < 0.5 else words & ~mask


@_named("a byte lane is dead", Kind.STUCK_BIT)
def _dead_lane(scene: Scene) -> None:
    scene.words("u1")[scene.dice.randrange(8) :: 8] = scene.dice.choice([0, 255])


@_named("old data in a piece", Kind.STALE)
def _stale(scene: Scene) -> None:
    size = scene.size()
    place = scene.piece(size)
    scene.put(place, scene.right(place, size, epoch=EPOCH - scene.dice.randrange(2, 900)))


@_named("old data in cache lines", Kind.STALE)
def _stale_lines(scene: Scene) -> None:
    epoch = EPOCH - scene.dice.randrange(2, 900)
    for place in scene.pieces(64, scene.dice.randrange(4, 40)):
        scene.put(place, scene.right(place, 64, epoch=epoch))


@_named("another stream's data in a piece", Kind.WRONG_BUFFER)
def _mixed(scene: Scene) -> None:
    size = scene.size()
    place = scene.piece(size)
    scene.put(place, scene.right(place, size, buffer_id=OTHER))


@_named("another stream's data in every second piece", Kind.WRONG_BUFFER)
def _interleaved(scene: Scene) -> None:
    size = scene.size()
    for place in range(size * scene.dice.randrange(2), scene.nbytes - size, 2 * size):
        scene.put(place, scene.right(place, size, buffer_id=OTHER))


@_named("a piece lands elsewhere", Kind.MISPLACED)
def _misplaced(scene: Scene) -> None:
    size = scene.size()
    home, place = scene.pieces(size, 2)
    scene.put(place, scene.right(home, size))
    scene.put(home, scene.right(home, size, epoch=EPOCH - 1))


@_named("two pieces are swapped", Kind.SWAPPED)
def _swapped(scene: Scene) -> None:
    size = scene.size()
    one, two = scene.pieces(size, 2)
    scene.put(one, scene.right(two, size))
    scene.put(two, scene.right(one, size))


@_named("pages are permuted", Kind.PERMUTED)
def _permuted(scene: Scene) -> None:
    size = min(scene.size(), PAGE)
    homes = scene.pieces(size, scene.dice.randrange(4, 8))
    turn = scene.dice.randrange(1, 3)
    for place, home in zip(homes, homes[turn:] + homes[:turn], strict=True):
        scene.put(place, scene.right(home, size))
    if turn == 2 and len(homes) == 4:
        _permuted(scene)  # that was two swaps


@_named("a piece arrives twice, the next one not", Kind.DUPLICATED)
def _duplicated(scene: Scene) -> None:
    size = scene.size()
    place = scene.piece(size)
    scene.put(place, scene.right(place - size, size))


@_named("a piece is shifted by some bytes", Kind.BYTE_SHIFTED)
def _shifted(scene: Scene) -> None:
    size = max(scene.size(), 256)
    place, by = scene.piece(size), scene.dice.randrange(1, 64)
    scene.put(place, scene.right(place, size, epoch=EPOCH - 1))
    scene.put(place + by, scene.right(place, size - by))


@_named("some bytes are lost, all behind them move up", Kind.BYTE_SHIFTED)
def _lost(scene: Scene) -> None:
    place, by = scene.dice.randrange(100, scene.nbytes // 2), scene.dice.randrange(1, 64)
    scene.put(place, scene.right(place + by, scene.nbytes - place - by))
    scene.put(scene.nbytes - by, scene.right(scene.nbytes - by, by, epoch=EPOCH - 1))


@_named("rows lie too far apart", Kind.ROW_PITCH)
def _pitch(scene: Scene) -> None:
    width = scene.dice.randrange(200, 2000)
    pitch = width + scene.dice.choice([1, 4, 8, 16, 64, 100])
    scene.put(0, scene.right(0, scene.nbytes, epoch=EPOCH - 1))
    for row in range(-(-scene.nbytes // pitch)):
        scene.put(row * pitch, scene.right(row * width, min(width, scene.nbytes - row * pitch)))


@_named("an address bit has no effect", Kind.ALIAS)
def _alias(scene: Scene) -> None:
    most = (scene.nbytes // 4).bit_length() - 1
    bit = scene.address_bit if scene.address_bit is not None else scene.dice.randrange(most)
    upper = scene.dice.random() < 0.5
    places = np.arange(scene.nbytes)
    homes = np.where((places >> bit & 1) == upper, places ^ 1 << bit, places)
    data = np.frombuffer(scene.data, np.uint8)
    data[:] = data[np.where(homes < scene.nbytes, homes, places)]


@_named("a piece never arrives", Kind.NOT_WRITTEN)
def _dropped(scene: Scene) -> None:
    size = scene.size()
    place = scene.piece(size)
    scene.put(place, scene.right(place, size, epoch=EPOCH - 1))


@_named("a page arrives in part", Kind.TORN)
def _torn(scene: Scene) -> None:
    place, kept = scene.piece(PAGE), scene.dice.randrange(PAGE // 8 + 3, PAGE // 2 - 3)
    scene.put(place + kept, scene.right(place + kept, PAGE - kept, epoch=EPOCH - 1))


@_named("the transfer ends early", Kind.SHORT_TAIL)
def _short(scene: Scene) -> None:
    missing = scene.dice.choice([1, 7, 8, 64, scene.dice.randrange(1, scene.nbytes)])
    scene.put(scene.nbytes - missing, scene.right(scene.nbytes - missing, missing, epoch=EPOCH - 1))


@_named("zeros in a piece", Kind.ZEROS)
def _zeros(scene: Scene) -> None:
    size = scene.size()
    scene.put(scene.piece(size), bytes(size))


@_named("ones in a piece", Kind.ALL_ONES)
def _ones(scene: Scene) -> None:
    size = scene.size()
    scene.put(scene.piece(size), b"\xff" * size)


@_named("poison in a piece", Kind.CONSTANT)
def _poison(scene: Scene) -> None:
    size = scene.size()
    value = scene.dice.choice([b"\xcc", b"\xef\xbe\xad\xde", b"\x01\xf1\xad\xba", b"\x5a\xa5", scene.dice.randbytes(8)])
    scene.put(scene.piece(size), value * (size // len(value)))


@_named("32-bit words are inverted", Kind.INVERTED)
def _inverted(scene: Scene) -> None:
    size = scene.size()
    start, step = scene.piece(size) // 4, scene.dice.choice([1, 1, 2])
    dwords = scene.words("<u4")
    dwords[start : start + size // 4 : step] ^= np.uint32(0xFFFFFFFF)


@_named("the halves of 64-bit words are swapped", Kind.DWORD_SWAP)
def _dwords_swapped(scene: Scene) -> None:
    size = scene.size()
    start = scene.piece(size) // 4
    dwords = scene.words("<u4")
    dwords[start : start + size // 4] = dwords[start : start + size // 4].reshape(-1, 2)[:, ::-1].reshape(-1)


@_named("words are big endian", Kind.BYTE_ORDER)
def _byte_order(scene: Scene) -> None:
    size = scene.size()
    place = scene.piece(size)
    width = scene.dice.choice([2, 4, 8])
    units = np.frombuffer(scene.data[place : place + size], f"<u{width}")
    units[:] = units.byteswap()


@_named("somebody writes behind the end", Kind.OVERRUN)
def _overrun(scene: Scene) -> None:
    size = scene.dice.choice([8, 64, 500, 4096])
    scene.put(scene.nbytes, scene.right(scene.nbytes - scene.dice.choice([0, size]), size))


@_named("somebody writes before the start", Kind.UNDERRUN)
def _underrun(scene: Scene) -> None:
    size = scene.dice.choice([8, 64, 500, 4096])
    scene.put(-size, scene.right(scene.dice.choice([0, size]), size))


@_named("noise in a piece", Kind.GARBAGE)
def _garbage(scene: Scene) -> None:
    size = scene.size()
    scene.put(scene.piece(size), scene.dice.randbytes(size))


def ours(epoch: int, buffer_id: int, start: int, nbytes: int) -> bytes:
    """The pattern of `hil.integrity`."""
    return Stream(epoch, buffer_id).read(start, nbytes).tobytes()


def _alternating(epoch: int, _: int, __: int, nbytes: int) -> bytes:
    return (b"\x55" if epoch % 2 else b"\xaa") * nbytes


def _own_address(_: int, __: int, start: int, nbytes: int) -> bytes:
    return _spread(lambda words: words * np.uint64(8), start, nbytes)


def _fixed_random(_: int, __: int, start: int, nbytes: int) -> bytes:
    return _spread(lambda words: _scrambled(words, 0), start, nbytes)


def _tile(epoch: int, _: int, start: int, nbytes: int) -> bytes:
    # nvbandwidth repeats 2 MiB in buffers of 512 MiB; scenes are smaller by as much.
    return _spread(lambda words: _scrambled(words % np.uint64(4096 // 8), epoch), start, nbytes)


def _index_and_iteration(epoch: int, _: int, start: int, nbytes: int) -> bytes:
    return _spread(lambda words: words * np.uint64(0x100000001) + np.uint64(epoch * 0x9E3779B1), start, nbytes)


def _fresh_random(epoch: int, buffer_id: int, start: int, nbytes: int) -> bytes:
    return _spread(lambda words: _scrambled(words, epoch << 8 | buffer_id), start, nbytes)


def _scrambled(words: np.ndarray, seed: int) -> np.ndarray:
    x = (words + np.uint64(seed * 0x632BE59BD9B4E019 % (1 << 64))) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(x ^ x >> np.uint64(32))


def _spread(rule: Callable[[np.ndarray], np.ndarray], start: int, nbytes: int) -> bytes:
    """Bytes ``start … start + nbytes`` of words that `rule` makes of their numbers."""
    first = start // 8
    words = rule(np.arange(first, (start + nbytes + 7) // 8, dtype=np.uint64))
    return words.tobytes()[start - 8 * first : start - 8 * first + nbytes]


TOOLS: dict[str, Make] = {
    "alternating": _alternating,
    "own address": _own_address,
    "fixed random": _fixed_random,
    "repeated tile": _tile,
    "index, iteration": _index_and_iteration,
    "fresh random": _fresh_random,
}
"""Ideas of known tools, as far as a comparison of the data with what was written sees."""
