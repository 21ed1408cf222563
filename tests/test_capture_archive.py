"""Files that are no capture, or a damaged or malicious one: each one clear message, and bounded memory."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile

import pytest

from hil.errors import UsageError
from hil.hosts.captured import CapturedHost
from hil.hosts.captures import archive
from hil.hosts.captures.contents import Capture, from_archive, from_bytes, to_archive
from hil.hosts.captures.journal import Entry
from hil.model import MIB
from tests.captured_bench import packed, unpacked

HEAD = {"format": "hil capture", "version": 1, "created": "2026-01-01T00:00:00+00:00", "hil": "0.1"}
HEAD |= {"bench": "local", "redacted": True, "clock": 1.0, "host": {}}
FACTS = '{"call":"facts","args":[],"answer":{"system":"Linux"}}\n'


def capture(head: dict | None = None, answers: str = FACTS, **more: bytes) -> bytes:
    content = json.dumps(HEAD if head is None else head).encode()
    return packed({"capture.json": content, "answers.jsonl": answers.encode(), **more})


def zipped(*names: str, **how) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("capture.json", json.dumps(HEAD))
        for name in names:
            facts = zipfile.ZipInfo(name)
            for key, value in how.items():
                setattr(facts, key, value)
            file.writestr(facts, b"content")
    return out.getvalue()


def test_what_was_written_is_read():
    entries = (
        Entry("facts", (), {"system": "Linux"}),
        Entry("read", ("/a",), b"text\n"),
        Entry("read", ("/b",), b"\xff\x00"),
        Entry("read", ("/c",), bytes(range(256)) * 64),
        Entry("read", ("/d",), error={"family": "os", "errno": 13, "strerror": "Permission denied", "filename": "/d"}),
        Entry("run", ("ls", "-l"), {"returncode": None, "stdout": b"", "stderr": b"killed"}),
    )
    written = Capture(
        created="now", hil="0.1", bench="local", redacted=False, clock=3.5, host={"system": "Linux"}, entries=entries
    )

    read = from_bytes(to_archive(written), "this capture")

    assert read == written


def test_the_same_capture_is_the_same_file():
    written = Capture(created="now", hil="0.1", bench="local", redacted=False, clock=3.5)

    assert to_archive(written) == to_archive(written)


def test_large_answers_lie_in_files_of_their_own_once():
    big = b"\n".join(b"%d" % n for n in range(5000))
    entries = tuple(Entry("read", (path,), big) for path in ("/a", "/b"))
    data = to_archive(Capture(created="", hil="", bench="", redacted=True, clock=0.0, entries=entries))

    assert unpacked(data)["blobs/0"] == big
    assert len(unpacked(data)) == 3


FOREIGN = {
    "text": (b"hello\n", "not a zip"),
    "empty": (b"", "not a zip"),
    "another zip": (packed({"word/document.xml": b"<a/>"}), "without capture.json"),
    "another program's head": (capture({"format": "har", "version": 1}), "does not say 'hil capture'"),
    "head is a list": (packed({"capture.json": b"[]", "answers.jsonl": b""}), "no capture"),
    "head is no JSON": (packed({"capture.json": b"{", "answers.jsonl": b""}), "capture.json is damaged"),
    "head is deep": (packed({"capture.json": b"[" * 100_000, "answers.jsonl": b""}), "capture.json is damaged"),
    "a newer version": (capture({**HEAD, "version": 2, "hil": "9.9"}), "version 2 (written by hil 9.9)"),
    "a version of text": (capture({**HEAD, "version": "1"}), "does not say"),
    "a head that lacks keys": (capture({"format": "hil capture", "version": 1}), "created"),
    "no answers": (packed({"capture.json": json.dumps(HEAD).encode()}), "no answers.jsonl"),
    "an answer that is no JSON": (capture(answers=FACTS + "{\n"), "line 2"),
    "an answer that is no object": (capture(answers="[]\n"), "line 1"),
    "an unknown call": (capture(answers='{"call":"delete","args":[]}\n'), "unknown call 'delete'"),
    "a wrong kind": (capture(answers='{"call":"read","args":["/a"],"answer":7}\n'), "wrong kind"),
    "wrong items": (capture(answers='{"call":"list","args":["/a"],"answer":[7]}\n'), "wrong kind"),
    "missing keys": (capture(answers='{"call":"run","args":["a"],"answer":{"returncode":0}}\n'), "wrong kind"),
    "facts without a system": (capture(answers='{"call":"facts","args":[],"answer":{}}\n'), "system"),
    "an error of no kind": (capture(answers='{"call":"read","args":["/a"],"error":{}}\n'), "line 1"),
    "an error of a strange type": (
        capture(answers='{"call":"read","args":["/a"],"error":{"family":"usb","type":"exit","strerror":""}}\n'),
        "line 1",
    ),
    "a blob that is not there": (
        capture(answers='{"call":"read","args":["/a"],"answer":{"$blob":"blobs/0"}}'),
        "line 1",
    ),
    "bytes that are none": (capture(answers='{"call":"read","args":["/a"],"answer":{"$hex":"zz"}}\n'), "line 1"),
    "text that is none": (capture(answers='{"call":"read","args":["/a"],"answer":{"$text":1}}\n'), "line 1"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_or_damaged_file_is_one_message(tmp_path, name):
    data, words = FOREIGN[name]
    file = tmp_path / "bench.zip"
    file.write_bytes(data)

    with pytest.raises(UsageError) as said:
        CapturedHost(str(file))

    assert str(said.value).startswith(f"{file}: ")
    assert words in str(said.value)
    assert "\n" not in str(said.value)


MALICIOUS = {
    "an absolute path": (zipped("/etc/passwd"), "points outside"),
    "a path upwards": (zipped("../../x"), "points outside"),
    "a path upwards inside": (zipped("blobs/../../x"), "points outside"),
    "a Windows path": (zipped("..\\x"), "points outside"),
    "a drive": (zipped("C:x"), "points outside"),
    "a symbolic link": (zipped("blobs/0", external_attr=(stat.S_IFLNK | 0o777) << 16), "is a link"),
    "a device": (zipped("blobs/0", external_attr=(stat.S_IFCHR | 0o666) << 16), "no plain file"),
    "a stranger": (zipped("evil.py"), "nothing that a capture has"),
    "another packing": (zipped("blobs/0", compress_type=zipfile.ZIP_LZMA), "packed in a way"),
    "a bomb": (packed({"capture.json": b"{}", "blobs/0": bytes(8 * MIB)}), "times its size"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_malicious_archive_is_refused_before_it_is_unpacked(name, monkeypatch):
    data, words = MALICIOUS[name]
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("something was decompressed"))

    with pytest.raises(UsageError, match=f"bench.zip: is not read: .*{words}"):
        from_bytes(data, "bench.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        from_bytes(zipped("blobs/0", "blobs/0"), "bench.zip")


def test_an_encrypted_member_is_refused():
    data = bytearray(zipped("blobs/0"))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8] |= 1

    with pytest.raises(UsageError, match="is encrypted"):
        from_bytes(bytes(data), "bench.zip")


def test_too_many_members_are_refused_before_they_are_listed(monkeypatch):
    data = capture(**{f"blobs/{n}": b"" for n in range(9)})
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it was opened"))

    with pytest.raises(UsageError, match="more than 3 members"):
        from_bytes(data, "bench.zip")


def test_a_member_and_a_whole_that_are_too_big_are_refused(monkeypatch):
    noise = os.urandom(3000)
    monkeypatch.setattr(archive, "MOST_MEMBER", 2000)
    with pytest.raises(UsageError, match="unpacks to more than"):
        from_bytes(capture(**{"blobs/0": noise}), "bench.zip")
    monkeypatch.setattr(archive, "MOST_MEMBER", 4000)
    monkeypatch.setattr(archive, "MOST_TOTAL", 5000)
    with pytest.raises(UsageError, match="MiB unpacked"):
        from_bytes(capture(**{"blobs/0": noise, "blobs/1": noise}), "bench.zip")


def test_a_size_that_is_a_lie_is_damage():
    data = bytearray(packed({"capture.json": bytes(4000), "answers.jsonl": b""}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")

    with pytest.raises(UsageError, match="damaged"):
        from_bytes(bytes(data), "bench.zip")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_damaged(part):
    data = capture(answers=FACTS * 100)

    with pytest.raises(UsageError, match="damaged or cut off"):
        from_bytes(data[: int(len(data) * part)], "bench.zip")


def test_no_flipped_byte_makes_anything_but_a_capture_or_one_message():
    data = capture(answers=FACTS + '{"call":"read","args":["/a"],"answer":{"$text":"x"}}\n')

    said: list[str] = []
    whole = 0
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0xFF
        try:
            CapturedHost(from_bytes(bytes(changed), "bench.zip")).facts()
        except UsageError as error:
            said.append(str(error))
        else:
            whole += 1
    assert whole + len(said) == len(data)
    assert [text for text in said if not text.startswith("bench.zip: ")] == []


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("none.zip", "No such file"), ("", "no plain file"), ("pipe", "no plain file")):
        with pytest.raises(UsageError, match=words):
            from_archive(str(tmp_path / name))


def test_a_file_that_is_too_big_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILE", 10)
    (tmp_path / "a.zip").write_bytes(capture())

    with pytest.raises(UsageError, match="a capture has at most"):
        from_archive(str(tmp_path / "a.zip"))


# Writing -----------------------------------------------------------------------------------------------------------


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    file = tmp_path / "a.zip"
    monkeypatch.setattr(archive, "check_target", lambda path, *, force: path.write_text("theirs"))

    with pytest.raises(UsageError, match="is there already"):
        archive.write_file(file, b"mine", force=False)

    assert file.read_text() == "theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_a_folder_that_takes_no_file_is_said(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.tempfile, "mkstemp", full)

    with pytest.raises(UsageError, match=r"a\.zip: cannot be written: No space left"):
        archive.write_file(tmp_path / "a.zip", b"mine", force=False)


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def none(*_arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(archive.Path, "hardlink_to", none)

    archive.write_file(tmp_path / "a.zip", b"mine", force=False)

    assert (tmp_path / "a.zip").read_bytes() == b"mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_a_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "a.zip").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="is there already"):
        archive.write_file(tmp_path / "a.zip", b"mine", force=False)
    archive.write_file(tmp_path / "a.zip", b"mine", force=True)

    assert not (tmp_path / "a.zip").is_symlink()
    assert not (tmp_path / "elsewhere").exists()
