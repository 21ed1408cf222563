"""What a test's record keeps of its attachments."""

from __future__ import annotations

from hil.report import attach
from hil.report.evidence import PICTURE, TEXT, WHOLE, Attachment, begin, bounded


def test_attachments_are_noted_from_a_tests_beginning_on():
    begin()
    attach("before", "x")
    made = begin()
    attach("text", "a")
    attach("picture", "<svg/>", extension="svg")
    assert [(one.name, one.kind, one.text) for one in made] == [("text", "txt", "a"), ("picture", "svg", "<svg/>")]


def test_of_a_passing_test_pictures_and_stories_are_kept():
    made = [Attachment("H2D", "txt", "3"), Attachment("recovery", "txt", "r"), Attachment("sweep", "svg", "s")]
    assert [one["name"] for one in bounded(made, passed=True)] == ["sweep", "recovery"]
    assert [one["name"] for one in bounded(made, passed=False)] == ["sweep", "H2D", "recovery"]


def test_a_long_text_keeps_its_beginning_and_its_end():
    (kept,) = bounded([Attachment("log", "txt", "a" * TEXT + "b" * TEXT)], passed=False)
    assert kept["text"].startswith("aaa")
    assert kept["text"].endswith("bbb")
    assert f"[… {TEXT} characters …]" in kept["text"]
    assert len(kept["text"]) < TEXT + 50


def test_half_a_picture_and_half_a_table_of_data_are_none():
    made = [Attachment("p", "svg", "x" * (PICTURE + 1)), Attachment("d", "json", "x" * (TEXT + 1))]
    assert bounded(made, passed=False) == ()


def test_all_that_a_test_keeps_is_bounded_and_pictures_come_first():
    made = [Attachment(f"t{i}", "txt", f"{i:04}" * (TEXT // 4)) for i in range(30)]
    made.append(Attachment("p", "svg", "x" * PICTURE))
    kept = bounded(made, passed=False)
    assert kept[0]["name"] == "p"
    assert 0.9 * WHOLE < sum(len(one["text"]) for one in kept) <= WHOLE


def test_the_same_attachment_is_kept_once():
    assert len(bounded([Attachment("a", "txt", "x")] * 3, passed=False)) == 1
