"""Captures: what discovery read on a host, in a file that can be attached to a bug report and replayed anywhere.

`hil.hosts.recording` records, `hil.hosts.captured` replays; docs/captures.md describes the file. `contents` is what a
capture consists of, `archive` its file, `journal` what was asked and answered; `identifiers` finds what identifies a
machine, `redaction` puts stand-ins in its place.
"""
