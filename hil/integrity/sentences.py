"""What findings say: what is wrong where, and where a driver engineer would look."""

from __future__ import annotations

from hil.integrity.evidence import Alias, Inverted, Reordered, Stuck
from hil.integrity.findings import Kind
from hil.integrity.tally import Tally, whereabouts
from hil.model import KIB, size_text

TURNED = "are what belongs there with every bit turned round"
"""What inverted bytes are, as a predicate."""
ADVICE = {
    Kind.BIT_FLIP: "repeat it: at the same place again, suspect the memory cell; elsewhere, the link or the bus on the "
    "way, and read its replay and ECC counters",
    Kind.STUCK_BIT: "a data line or a memory cell that does not follow: the same lane in every word is a line of the "
    "bus, one place alone is a cell",
    Kind.STALE: "a copy that was reported as done and was not, or a cache that was not flushed or invalidated",
    Kind.WRONG_BUFFER: "look at how descriptors of streams that run at once are kept apart, and at buffers that are "
    "used again before the copy from them is done",
    Kind.MISPLACED: "look at the destination addresses of the copy's pieces, and at the page tables under them",
    Kind.DUPLICATED: "a piece went out twice and the one that belongs here was lost: look at the ring of descriptors "
    "and at what is repeated after an error",
    Kind.SWAPPED: "two pieces took each other's address: look at the order of descriptors, scatter lists and pages",
    Kind.PERMUTED: "look at the page tables and scatter lists: the right pages in the wrong order",
    Kind.BYTE_SHIFTED: "look at how the copy's first and last bytes are handled where it is not aligned",
    Kind.ROW_PITCH: "source and destination disagree on the bytes from one row to the next: look at the pitch",
    Kind.ALIAS: "look at the address lines and decoder of the memory, and at masks of addresses in the driver",
    Kind.NOT_WRITTEN: "a piece was dropped on the way, or completion was told before it landed",
    Kind.TORN: "a piece broke off in the middle: look for a write that was cut in two and lost a part, or a copy "
    "that was read before it was complete",
    Kind.SHORT_TAIL: "look at the length of the last descriptor, and at what counts as complete",
    Kind.ZEROS: "cleared memory that the copy never reached, or pages mapped anew underneath it",
    Kind.ALL_ONES: "what reads return when the device is off the bus: look at the link and the kernel log",
    Kind.CONSTANT: "find out who writes this value: poison of freed memory, or an error code in place of data",
    Kind.INVERTED: "look at bus inversion (DBI) and at the lanes that tell of it",
    Kind.DWORD_SWAP: "look at where 64-bit words are put together from 32-bit ones",
    Kind.BYTE_ORDER: "something on the way takes these words for big endian",
    Kind.OVERRUN: "somebody writes past the end: look at lengths that are rounded up, and at the last descriptor",
    Kind.UNDERRUN: "somebody writes before the start: look at start addresses that are rounded down",
    Kind.GARBAGE: "written by something else, or scrambled on the way: compare it with what else uses the memory",
}


def subject(tally: Tally, nbytes: int) -> str:
    """Which bytes of a buffer of `nbytes`, as the subject of a sentence."""
    where = f" ({whereabouts(tally.first)})" if nbytes > 4 * KIB else ""
    if tally.places == 1:
        return f"{size_text(tally.nbytes)} at {tally.first:#x}{where}"
    lie = tally.regularity(nbytes)
    each = f" of {size_text(tally.piece)}" if tally.piece else ""
    how = f" ({lie})" if lie else ""
    return (
        f"{size_text(tally.nbytes)} in {tally.places} places{each}{how} from {tally.first:#x}{where} to "
        f"{tally.end - 1:#x}"
    )


def verb(tally: Tally, says: str) -> str:
    """`says`, in the singular where the subject is a single byte."""
    if tally.nbytes > 1 or tally.places > 1:
        return says
    return f"holds{says[4:]}" if says.startswith("hold") else f"is{says[3:]}" if says.startswith("are") else says


def told(kind: Kind, tally: Tally, nbytes: int, says: str) -> str:
    """A whole sentence that leads with the kind."""
    return f"{kind}: {subject(tally, nbytes)} {verb(tally, says)}"


def hexadecimal(value: int) -> str:
    """`value` in hexadecimal with its sign."""
    return f"{'-' if value < 0 else ''}{abs(value):#x}"


def displaced(home: int, delta: int) -> str:
    """Where displaced data belong, as a clause."""
    return f" that belong at {hexadecimal(home)}, displaced by {hexadecimal(delta)} bytes"


def of_words(cause: Stuck | Inverted | Reordered | Alias, tally: Tally, nbytes: int) -> tuple[Kind, str]:
    """Kind and sentence of a cause that acts within words of memory or on an address."""
    match cause:
        case Stuck():
            lanes = [bit for bit in range(64) if cause.mask >> bit & 1]
            values = {cause.value >> bit & 1 for bit in lanes}
            reads = str(*values) if len(values) == 1 else f"{cause.value >> lanes[0]:#x}"
            names = f"bit {lanes[0]}" if len(lanes) == 1 else f"bits {spelled(lanes)}"
            kind, says = (
                Kind.STUCK_BIT,
                f"{names} of every 8-byte word {'reads' if len(lanes) == 1 else 'read'} {reads}",
            )
            where = f" ({whereabouts(tally.first)})" if nbytes > 4 * KIB else ""
            says += f" from {tally.first:#x}{where} to {tally.end - 1:#x}, wrong in {tally.places} words"
            return kind, f"{kind}: {says}"
        case Inverted():
            kind, says = Kind.INVERTED, TURNED
        case Reordered(unit=4):
            kind, says = Kind.DWORD_SWAP, "are what belongs there with the halves of each 8-byte word exchanged"
        case Reordered():
            kind = Kind.BYTE_ORDER
            unit = "" if cause.unit == 1 else f" in units of {cause.unit}"
            says = f"are what belongs there with the bytes of each {cause.size}-byte word{unit} in reverse"
        case Alias():
            kind, says = Kind.ALIAS, aliased(cause.bit, upwards=cause.upwards)
    return kind, told(kind, tally, nbytes, says)


def aliased(bit: int, *, upwards: bool) -> str:
    """What an address bit without effect does, as a predicate."""
    side = "below" if upwards else "above"
    return (
        f"hold what belongs {size_text(1 << bit)} {side}: addresses that differ in bit {bit} alone are one place "
        f"(bit {bit} of the address has no effect)"
    )


def spelled(numbers: list[int]) -> str:
    """Numbers as text, ranges for those that follow each other: ``3, 8-15``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
