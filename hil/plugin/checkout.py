"""Which commit a checkout is at, read from git's own files: no command is run."""

from __future__ import annotations

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit_of(folder: Path) -> str:
    """The commit of the checkout that `folder` lies in, in full; empty where it lies in none or that cannot be told."""
    for place in (folder, *folder.parents):
        mark = place / ".git"
        if mark.exists():
            try:
                return _commit(mark)
            except (OSError, UnicodeDecodeError):
                return ""
    return ""


def _commit(mark: Path) -> str:
    own = mark
    if mark.is_file():  # a worktree or a submodule: its own folder lies elsewhere
        own = mark.parent / mark.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    head = (own / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    name = head.partition(":")[2].strip()
    shared = own / "commondir"
    folders = [own, own / shared.read_text(encoding="utf-8").strip()] if shared.is_file() else [own]
    for folder in folders:
        loose, packed = folder / name, folder / "packed-refs"
        if loose.is_file():
            return loose.read_text(encoding="utf-8").strip()
        if packed.is_file():
            for line in packed.read_text(encoding="utf-8").splitlines():
                commit, _, ref = line.partition(" ")
                if ref == name and _COMMIT.fullmatch(commit):
                    return commit
    return ""
