"""Integrity of data: a pattern that says where every byte belongs, verification, diagnosis of corruption."""

from hil.integrity.findings import Finding, Kind, Report, letter
from hil.integrity.guards import GUARD_BYTES, check_guards, fill_guards
from hil.integrity.memory import NoBuffer
from hil.integrity.passes import merged
from hil.integrity.pattern import Stream
from hil.integrity.picture import picture
from hil.integrity.speed import use
from hil.integrity.verify import fill, verify
from hil.integrity.word import BUFFERS, EPOCHS, Origin, decode

__all__ = [
    "BUFFERS",
    "EPOCHS",
    "GUARD_BYTES",
    "Finding",
    "Kind",
    "NoBuffer",
    "Origin",
    "Report",
    "Stream",
    "check_guards",
    "decode",
    "fill",
    "fill_guards",
    "letter",
    "merged",
    "picture",
    "use",
    "verify",
]
