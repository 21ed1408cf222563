"""The zip file around a capture: written whole or not at all, and read as what a stranger has sent.

Nothing is extracted to disk. Before anything is decompressed, names, kinds, number and sizes of all members are
checked: what a reader must hold in memory is bounded whatever the file says.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from hil.errors import UsageError
from hil.model import MIB

MOST_FILE, MOST_MEMBER, MOST_TOTAL = 64 * MIB, 128 * MIB, 256 * MIB
"""Bytes on disk, of one member, of all members. The I/O registry of a busy Mac has 20 MiB, and packs to 1."""
MOST_MEMBERS = 10_000
MOST_RATIO, _RATIO_FROM = 250, MIB
"""How far a member above 1 MiB may have been packed. Captures reach 40; a bomb of zeros has 1000."""
_MEMBER = re.compile(r"capture\.json|answers\.jsonl|blobs/[0-9]{1,5}")
_ENTRY_SIGNATURE = b"PK\x01\x02"  # APPNOTE.TXT 4.3.12
_ENCRYPTED = 0x1
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def pack(members: Mapping[str, bytes]) -> bytes:
    """A zip of `members`, the same for the same members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            facts = zipfile.ZipInfo(name)
            facts.compress_type = zipfile.ZIP_DEFLATED
            facts.external_attr = (stat.S_IFREG | 0o600) << 16
            archive.writestr(facts, content)
    return out.getvalue()


def unpack(data: bytes, source: str) -> dict[str, bytes]:
    """The members of the zip `data`.

    Raises:
        UsageError: it is damaged, no capture, or asks for more than a capture may; names `source`.

    """
    if not data.startswith(b"PK"):
        raise UsageError(f"{source}: is no capture: not a zip file")
    if data.count(_ENTRY_SIGNATURE) > MOST_MEMBERS:
        raise UsageError(f"{source}: is not read: more than {MOST_MEMBERS} members")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check(members, source)
            return {member.filename: archive.read(member) for member in members}
    # A damaged archive lets escape whatever zipfile stumbles on.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{source}: is damaged or cut off: {error}") from error


def _check(members: list[zipfile.ZipInfo], source: str) -> None:
    if not any(member.filename == "capture.json" for member in members):
        raise UsageError(f"{source}: is no capture: a zip file without capture.json")
    seen: set[str] = set()
    for member in members:
        reason = _objection(member)
        if member.filename in seen:
            reason = "is in it twice"
        if reason:
            raise UsageError(f"{source}: is not read: member {member.filename[:80]!r} {reason}")
        seen.add(member.filename)
    total = sum(member.file_size for member in members)
    if total > MOST_TOTAL:
        raise UsageError(f"{source}: is not read: {total / MIB:.0f} MiB unpacked, at most {MOST_TOTAL / MIB:.0f} are")


def _objection(member: zipfile.ZipInfo) -> str:
    """Why `member` is not to be read; empty if it may be."""
    # zipfile itself cuts names at a zero byte: what the file says is in orig_filename.
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    outside = name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name)
    reasons = {
        "points outside the archive": outside,
        "is a link": kind == stat.S_IFLNK,
        "is no plain file": kind not in (0, stat.S_IFREG),
        "is nothing that a capture has": not _MEMBER.fullmatch(name),
        "is encrypted": member.flag_bits & _ENCRYPTED,
        "is packed in a way that captures are not": member.compress_type not in _PACKINGS,
        f"unpacks to more than {MOST_MEMBER / MIB:.0f} MiB": member.file_size > MOST_MEMBER,
        f"unpacks to more than {MOST_RATIO} times its size": member.file_size
        > max(_RATIO_FROM, member.compress_size * MOST_RATIO),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def read_file(path: str) -> bytes:
    """The bytes of the file `path`.

    Raises:
        UsageError: it cannot be read, is no plain file, or is too big for a capture.

    """
    try:
        facts = Path(path).stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{path}: is no plain file")
        if facts.st_size > MOST_FILE:
            raise UsageError(
                f"{path}: is not read: {facts.st_size / MIB:.0f} MiB, a capture has at most {MOST_FILE / MIB:.0f}"
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_target(path: Path, *, force: bool) -> None:
    """Refuse early what `write_file` would refuse.

    Raises:
        UsageError: there is something already, or no folder to write to.

    """
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise UsageError(f"{path}: is no plain file, a capture cannot be written there")
    if (path.exists() or path.is_symlink()) and not force:
        raise UsageError(f"{path}: is there already; give another name, or --force to replace it")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def write_file(path: Path, data: bytes, *, force: bool) -> None:
    """Write `data` to `path`, readable for its owner alone; at no moment is there half a file.

    Raises:
        UsageError: there is something already (and not `force`), or it cannot be written.

    """
    check_target(path, force=force)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if force:
                temporary.replace(path)
            else:
                _place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{path}: is there already; give another name, or --force to replace it") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def _place(temporary: Path, path: Path) -> None:
    """Give `temporary` its name, if nobody else has taken it meanwhile."""
    with contextlib.suppress(PermissionError, NotImplementedError):
        path.hardlink_to(temporary)
        return
    # File systems without hard links (exFAT): the name was free a moment ago.
    temporary.replace(path)
