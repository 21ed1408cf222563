"""Replacing identifiers that are text: serial numbers, and names of hosts and users, as far as each is telling."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from xml.sax.saxutils import escape

from hil.hosts.captures.kinds import Kind

_TELLING, _WORD = 8, 5
"""Characters from which a serial number is replaced within anything, and from which as a word of its own."""
_NAME = 4


class Reach(IntEnum):
    """Where a word is replaced."""

    WHOLE = 0
    """Where it is all there is: a whole file, a quoted value. Short ones stand for other things elsewhere."""
    WORD = 1
    """Where no letter or digit touches it."""
    ANYWHERE = 2


@dataclass(frozen=True, slots=True)
class Word:
    """One identifier, its stand-in, and where it is replaced."""

    text: str
    stand_in: str
    reach: Reach
    any_case: bool
    forms: tuple[tuple[bytes, bytes], ...]
    """As it is written in text, in JSON, in XML: original and stand-in."""

    @classmethod
    def of(cls, kind: Kind, text: str, stand_in: str) -> Word:
        """How `text` is to be replaced."""
        reach = Reach.WORD
        if kind is Kind.SERIAL:
            reach = Reach.ANYWHERE if len(text) >= _TELLING else Reach.WORD if len(text) >= _WORD else Reach.WHOLE
        written = {text: stand_in, _in_json(text): _in_json(stand_in), escape(text): escape(stand_in)}
        forms = tuple((original.encode(), other.encode()) for original, other in written.items())
        return cls(text, stand_in, reach, kind is Kind.SERIAL, forms)

    def replaced_in(self, content: bytes, lower: bytes) -> bytes:
        """`content` with the stand-in; `lower` is `content` in lower case."""
        for original, other in self.forms:
            needle, hay = (original.lower(), lower) if self.any_case else (original, content)
            places = [at for at in _places(hay, needle) if self._counts(content, at, at + len(needle))]
            if places:
                content = _put(content, places, len(needle), other)
                lower = content.lower()
        wide, wide_other = self.text.encode("utf-16-le"), self.stand_in.encode("utf-16-le")
        if wide in content and (self.reach is not Reach.WHOLE or content[2:] == wide):
            content = content.replace(wide, wide_other)
        return content

    def is_in(self, content: bytes, lower: bytes) -> bool:
        """Whether it is still to be found where it should have been replaced."""
        return self.replaced_in(content, lower) != content

    def _counts(self, content: bytes, begin: int, end: int) -> bool:
        """Whether what stands from `begin` to `end` is this identifier, and not part of another word."""
        if self.reach is Reach.ANYWHERE:
            return True
        before, after = content[max(begin - 8, 0) : begin], content[end : end + 2]
        if self.reach is Reach.WORD:
            return not (before[-1:].isalnum() or after[:1].isalnum())
        quoted = (before[-1:] == b'"' and after[:1] == b'"') or (before == b"<string>" and after == b"</")
        return quoted or content.strip(b"\0 \t\r\n") == content[begin:end]


def _places(content: bytes, needle: bytes) -> Iterator[int]:
    at = content.find(needle)
    while at >= 0:
        yield at
        at = content.find(needle, at + len(needle))


def _put(content: bytes, places: Iterable[int], size: int, other: bytes) -> bytes:
    """`content` with `other` at all `places`, in the case of what stood there."""
    parts, end = [], 0
    for at in places:
        found = content[at : at + size]
        fits = len(found) == len(other)
        parts += [content[end:at], bytes(map(_cased, found, other)) if fits else other]
        end = at + size
    return b"".join([*parts, content[end:]])


def is_telling(name: str, common: Collection[str]) -> bool:
    """Whether the name of a host or user tells whose it is; ``MacBook-Pro`` and whatever is in `common` does not."""
    parts = re.findall("[0-9A-Za-z]+", name)
    return len(name) >= _NAME and not (parts and all(part in common for part in parts))


def replaced_words(words: Iterable[Word], content: bytes) -> bytes:
    """`content` with stand-ins for all `words`."""
    lower = content.lower()
    for word in words:
        changed = word.replaced_in(content, lower)
        if changed is not content:
            content, lower = changed, changed.lower()
    return content


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _cased(found: int, other: int) -> int:
    """The letter `other` in the case of `found`."""
    letter = bytes([other])
    if bytes([found]).isupper():
        return letter.upper()[0]
    return letter.lower()[0] if bytes([found]).islower() else other
