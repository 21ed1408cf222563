"""A file that a command writes: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.errors import UsageError


def must_be_new(path: Path, *, force: bool) -> None:
    """Refuse to write `path` where it is there already, unless `force` says so.

    Raises:
        UsageError: it is.

    """
    if path.exists() and not force:
        raise UsageError(f"{path} is there already: give another name, or --force to replace it")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write in the place of `path`, whose name it gets at the end; whatever fails, what was there stays.

    Raises:
        UsageError: it cannot be written.

    """
    # What a link names is replaced, not the link.
    target = Path(os.path.realpath(path))
    half = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        try:
            yield half
            half.replace(target)
        finally:
            half.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{path} cannot be written: UTF-8 knows no {error.object[error.start]!r}") from error


def write_whole(path: Path, text: str) -> None:
    """Write `text` to `path`, as `replaced`."""
    with replaced(path) as half:
        half.write_text(text, encoding="utf-8")
