"""Stand-ins for identifiers: one for one value, of its length and form, wherever and however it is written.

Stand-ins are drawn at random for each capture, so that nothing can be computed back. Those of router ids and UUIDs keep
the order of the originals, and the vendor that a router id or hardware address begins with: what is sorted, numbered
or read by them comes out as before.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from hil.hosts.captures.journal import Entry
from hil.hosts.captures.kinds import DASHED, SEPARATED, Identifiers, Kind, orders
from hil.hosts.captures.needles import Needles
from hil.hosts.captures.words import Reach, Word, is_telling, replaced_words
from hil.model import Inventory, from_dict, to_dict

_KEPT = {Kind.ROUTER: 4, Kind.UUID: 0, Kind.ADDRESS: 6, Kind.DATA: 0}
"""Hexadecimal digits at the beginning that stay: the vendor of a router, the maker of a network part."""
_DASHED = re.compile(rb"(?<![0-9A-Fa-f-])([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![0-9A-Fa-f-])")
_SEPARATED = re.compile(
    rb"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Za-z:-])"
)
_RUN = re.compile(rb"[0-9A-Fa-f]{12,}")
_DECIMAL = re.compile(rb"(?<![0-9A-Za-z])-?[0-9]{12,20}(?![0-9A-Za-z])")
_PLIST_DATA = re.compile(rb"<data>([^<]*)</data>")
_LEAST_RUN = 12
_TELLING = 4
"""Different bytes that an id must have to be looked for in binary, and the other way round."""
_SEAM = b"\0" + secrets.token_bytes(30) + b"\0"
"""Between pieces that are searched together; drawn anew in each process, so that nothing can contain it."""
_TAIL = "f" * 16


class Redaction:
    """What stands for what, and the replacing.

    Args:
        identifiers: what must not stay.

    """

    def __init__(self, identifiers: Identifiers) -> None:
        self.stand_ins: dict[Kind, dict[str, str]] = {}
        self._hex: dict[str, str] = {}
        self._binary_pairs: dict[bytes, bytes] = {}
        self._decimals: dict[bytes, bytes] = {}
        self._words: list[Word] = []
        self._common: dict[str, str] = {}
        taken = {value for values in identifiers.found.values() for value in values}
        for kind in _KEPT:
            self.stand_ins[kind] = _drawn(kind, identifiers.found[kind], taken)
            for value, other in self.stand_ins[kind].items():
                self._learn(kind, value, other)
        self._binary = Needles(self._binary_pairs)
        self._lengths = sorted({len(digits) for digits in self._hex}, reverse=True)
        for kind in (Kind.SERIAL, Kind.NAME):
            values = sorted(identifiers.found[kind])
            self.stand_ins[kind] = {value: self._written_anew(value, taken) for value in values}
            telling = (value for value in values if kind is Kind.SERIAL or is_telling(value, identifiers.words))
            self._words += [Word.of(kind, value, self.stand_ins[kind][value]) for value in telling]
        # The longest first: one may lie within another.
        self._words.sort(key=lambda word: (-len(word.text), word.text))

    def entry(self, entry: Entry) -> Entry:
        """`entry` with stand-ins in its question, its answer and its error."""
        change = self.facts if entry.call == "facts" and entry.answer is not None else self.value
        return Entry(entry.call, self.value(entry.args), change(entry.answer), self.value(entry.error))

    def facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """A host's facts with stand-ins. Its name is replaced however common; no other fact is taken for a name."""
        name, boot_id = facts.get("hostname", ""), facts.get("boot_id", "")
        other = self.text(name)
        if name and other == name:
            other = self._common.setdefault(name, _like(name, {name}))
        return {**facts, "hostname": other, "boot_id": self.text(boot_id)}

    def inventory(self, inventory: Inventory) -> Inventory:
        """`inventory` as it is discovered on the replaced capture."""
        facts = to_dict(inventory)
        return from_dict(Inventory, {**self.value(facts), "host": self.facts(facts["host"])})

    def value(self, value: Any) -> Any:
        """`value` (dicts, lists, text, bytes) with stand-ins for all identifiers in it."""
        if isinstance(value, bytes):
            return self.data(value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}  # keys are ours
        if isinstance(value, (list, tuple)):
            return type(value)(self.value(item) for item in value)
        return value

    def text(self, text: str) -> str:
        """`text` with stand-ins."""
        return self.data(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def data(self, content: bytes) -> bytes:
        """`content`, whatever it is, with stand-ins."""
        if b"<data>" in content:
            content = self._in_base64(content)
        return self._plain(content)

    def leaks(self, content: bytes) -> list[str]:
        """Identifiers that are still in `content`: must be none after `data`."""
        lower = content.lower()
        found = [low[at : at + size] for low in map(bytes.decode, _RUN.findall(lower)) for at, size in self._known(low)]
        found += [match[0].decode() for match in DASHED.finditer(content) if self._in_dashes(match) != match[0]]
        found += [match[0].decode() for match in SEPARATED.finditer(content) if self._in_pairs(match) != match[0]]
        found += [needle.hex() for _, needle in self._binary.find(content)]
        found += [number.decode() for number in _DECIMAL.findall(content) if number in self._decimals]
        found += [word.text for word in self._words if word.is_in(content, lower)]
        if b"<data>" in content:
            found += self.leaks(_SEAM.join(_decoded(match[1]) or b"" for match in _PLIST_DATA.finditer(content)))
        return found

    def _learn(self, kind: Kind, value: str, other: str) -> None:
        raw, stand_in = bytes.fromhex(value), bytes.fromhex(other)
        self._hex[value] = other
        if len(set(raw)) < _TELLING:
            return  # 00000000-0000-0000-0000-000000000001: its bytes stand for other things elsewhere
        for original, replacement in zip(_orders(kind, raw), _orders(kind, stand_in), strict=True):
            self._hex[original.hex()] = replacement.hex()
            self._binary_pairs[original] = replacement
        if kind is Kind.ROUTER:
            for original, replacement in ((raw, stand_in), (raw[::-1], stand_in[::-1])):
                for signed in (False, True):
                    number = int.from_bytes(original, signed=signed)
                    self._decimals[b"%d" % number] = b"%d" % int.from_bytes(replacement, signed=signed)
            # A number's leading zeros are not always written.
            if len(value.lstrip("0")) >= _LEAST_RUN:
                self._hex.setdefault(value.lstrip("0"), other.lstrip("0"))

    def _written_anew(self, text: str, taken: set[str]) -> str:
        # Some makers give a part the id of its router as serial number: that has its stand-in already.
        other = self._ids(text.encode()).decode()
        return _like(text, taken) if other == text else other

    def _plain(self, content: bytes) -> bytes:
        return replaced_words(self._words, self._ids(content))

    def _ids(self, content: bytes) -> bytes:
        content = DASHED.sub(self._in_dashes, content)
        content = SEPARATED.sub(self._in_pairs, content)
        content = _DECIMAL.sub(lambda match: self._decimals.get(match[0], match[0]), content)
        content = _RUN.sub(self._in_run, content)
        return self._binary.replaced_in(content)

    def _in_dashes(self, match: re.Match[bytes]) -> bytes:
        digits = match[0].replace(b"-", b"").decode()
        low = digits.lower()
        other = self._hex.get(low)
        if other is None and low.endswith(_TAIL) and low[:16] in self._hex:
            other = self._hex[low[:16]] + _TAIL
        return match[0] if other is None else _dashed(_cased(digits, other)).encode()

    def _in_pairs(self, match: re.Match[bytes]) -> bytes:
        digits = match[0].replace(match[1], b"").decode()
        other = self._hex.get(digits.lower())
        if other is None:
            return match[0]
        other = _cased(digits, other)
        return match[1].join(other[at : at + 2].encode() for at in range(0, len(other), 2))

    def _in_run(self, match: re.Match[bytes]) -> bytes:
        digits = out = match[0].decode()
        low = digits.lower()
        for at, size in self._known(low):
            out = out[:at] + _cased(digits[at : at + size], self._hex[low[at : at + size]]) + out[at + size :]
        return out.encode()

    def _known(self, low: str) -> Iterator[tuple[int, int]]:
        """Where ids stand in a run of hexadecimal digits, and how many digits they have."""
        at = 0
        while at + _LEAST_RUN <= len(low):
            size = next((n for n in self._lengths if low[at : at + n] in self._hex), 0)
            if size:
                yield at, size
            at += size or 1

    def _in_base64(self, content: bytes) -> bytes:
        """A property list with stand-ins in its data: all of it in one go, for there are thousands."""
        parts = _PLIST_DATA.split(content)  # text and data by turns
        decoded = [_decoded(part) or b"" for part in parts[1::2]]
        changed = self._plain(_SEAM.join(decoded)).split(_SEAM)
        if len(changed) == len(decoded):
            short = [word for word in self._words if word.reach is Reach.WHOLE]
            changed = [replaced_words(short, part) for part in changed]
        else:  # something reached across a seam
            changed = [self._plain(part) for part in decoded]
        for at, (was, now) in enumerate(zip(decoded, changed, strict=True)):
            if was != now:
                parts[2 * at + 1] = _laid_out(now, parts[2 * at + 1])
        return b"".join(part if at % 2 == 0 else b"<data>" + part + b"</data>" for at, part in enumerate(parts))


def _laid_out(data: bytes, like: bytes) -> bytes:
    """`data` in base64, lines broken and indented where they are in `like`."""
    letters = base64.b64encode(data).decode()
    if len(letters) != sum(not letter.isspace() for letter in like.decode()):
        return letters.encode()
    left = iter(letters)
    return "".join(letter if letter.isspace() else next(left) for letter in like.decode()).encode()


def _orders(kind: Kind, raw: bytes) -> list[bytes]:
    """The bytes of an id in all orders in which they are written, the usual one first."""
    if kind is Kind.ROUTER:
        return orders(raw)
    if kind is Kind.UUID:  # as a number, reversed, and as Windows' GUID (RFC 9562, section 4)
        return [raw, raw[::-1], raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]]
    return [raw, raw[::-1]]


def _drawn(kind: Kind, values: set[str], taken: set[str]) -> dict[str, str]:
    """A stand-in for each of `values` (hexadecimal), in the same order."""
    groups: dict[tuple[int, str], list[str]] = defaultdict(list)
    for value in sorted(values):
        groups[len(value), value[: _KEPT[kind]]].append(value)
    found: dict[str, str] = {}
    for (length, prefix), members in groups.items():
        drawn: set[str] = set()
        while len(drawn) < len(members):
            stand_in = prefix + secrets.token_hex(length)[: length - len(prefix)]
            if stand_in not in taken:
                drawn.add(stand_in)
        found |= zip(members, sorted(drawn), strict=True)
    return {value: _versioned(value, other) if kind is Kind.UUID else other for value, other in found.items()}


def _versioned(value: str, other: str) -> str:
    """`other` as a UUID of the version and variant of `value`."""
    return other[:12] + value[12] + other[13:16] + value[16] + other[17:]


def _like(value: str, taken: set[str]) -> str:
    """Random text of the form of `value`: capitals for capitals, digits for digits, the rest as it is."""
    while True:
        other = "".join(_letter(letter) for letter in value)
        if other not in taken:
            taken.add(other)
            return other


def _letter(letter: str) -> str:
    for alphabet in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
        if letter in alphabet:
            return secrets.choice(alphabet)
    return secrets.choice(string.ascii_lowercase) if letter.isalpha() else letter


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _cased(original: str, other: str) -> str:
    return other.upper() if re.search("[A-F]", original) else other


def _decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return None
