"""Integrity of data: a pattern that says where every byte belongs, verification, diagnosis of corruption."""

from hil.integrity.findings import Finding, Kind, Report
from hil.integrity.pattern import Stream, fill
from hil.integrity.verify import verify
from hil.integrity.word import BUFFERS, EPOCHS, Origin, decode

__all__ = ["BUFFERS", "EPOCHS", "Finding", "Kind", "Origin", "Report", "Stream", "decode", "fill", "verify"]
