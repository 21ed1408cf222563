"""The commit of a checkout, read from git's own files."""

from __future__ import annotations

from pathlib import Path

from hil.plugin.checkout import commit_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def checkout(folder: Path, head: str) -> Path:
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text(head)
    return git


def test_a_branch_a_packed_branch_and_a_bare_commit_are_read(tmp_path):
    git = checkout(tmp_path, "ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{COMMIT} refs/heads/main\n")
    assert commit_of(tmp_path) == COMMIT
    (git / "refs/heads/main").write_text("f" * 40 + "\n")
    assert commit_of(tmp_path / "suites" / "driver") == "f" * 40
    (git / "HEAD").write_text(COMMIT)
    assert commit_of(tmp_path) == COMMIT


def test_a_worktree_finds_its_branch_in_the_shared_folder(tmp_path):
    git = checkout(tmp_path / "main", "ref: refs/heads/main")
    own = git / "worktrees" / "lab"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/lab")
    (own / "commondir").write_text("../..\n")
    (git / "refs/heads/lab").write_text(COMMIT)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / ".git").write_text(f"gitdir: {own}\n")
    assert commit_of(tmp_path / "lab") == COMMIT


def test_what_cannot_be_told_is_empty(tmp_path):
    assert commit_of(tmp_path / "nowhere") in ("", commit_of(tmp_path))
    git = checkout(tmp_path / "new", "ref: refs/heads/main")
    assert commit_of(tmp_path / "new") == ""
    (git / "HEAD").write_text("nonsense")
    assert commit_of(tmp_path / "new") == ""
    (git / "HEAD").unlink()
    assert commit_of(tmp_path / "new") == ""
