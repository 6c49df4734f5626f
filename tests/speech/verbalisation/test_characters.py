"""Characters that cannot be spoken."""

import pytest

from syn2real.speech.verbalisation import bad_characters, describe, tally
from syn2real.speech.verbalisation.characters import without


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "Plain words, naïve café – “quoted”… 5 % & €3 ª", []),
        ("en", "ok 😀!", [(3, "emoji or picture")]),
        ("en", "a\u200bb\x07", [(1, "control"), (3, "control")]),
        ("en", "да", [(0, "other script"), (1, "other script")]),
        ("en", "\ue000", [(0, "private use")]),
        ("en", "❤️", [(0, "emoji or picture"), (1, "emoji or picture")]),
        ("en", "a ∑ b", [(2, "symbol without words")]),
        ("en", "٣ ５ ½ ②", []),
        ("ru", "Привет, world", []),
        ("ru", "日", [(0, "other script")]),
        ("ja", "今日は、ラーメンー!", []),
        ("hi", "क्‍ष नमस्ते", []),
        ("fa", "می‌خواهم", []),
        ("xx", "да 日", []),
    ],
)
def test_are_named_with_place_and_reason(language: str, text: str, found: list[tuple[int, str]]) -> None:
    assert [(bad.place, bad.reason) for bad in bad_characters(text, language)] == found


@pytest.mark.parametrize(
    ("text", "left"),
    [("Hi😀there", "Hi there"), ("Hi 😀 !", "Hi!"), ("a\u200bb", "ab"), ("🎉🎉", ""), ("one 🎉🎉 two", "one two")],
)
def test_are_taken_out(text: str, left: str) -> None:
    assert without(text, bad_characters(text, "en")) == left


def test_are_counted_with_their_first_line() -> None:
    counts = tally([(1, "fine"), (4, "😀 ж"), (9, "😀😀")], "en")
    assert [(describe(c.character), c.count, c.first_line) for c in counts] == [
        ("U+1F600 GRINNING FACE", 3, 4),
        ("U+0436 CYRILLIC SMALL LETTER ZHE", 1, 4),
    ]
