"""The word rules, and the spans two texts share."""

import pytest

from whence.kernels.shingles import matching_spans, shingle_set, tokens


def words(text: str) -> list[str]:
    return [word for _, _, word in tokens(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n.,;", []),
        ("Hello, WORLD-wide 42nd", ["hello", "world", "wide", "42nd"]),
        ("snake_case a'b", ["snake", "case", "a", "b"]),
        ("Été À L\u2019ÉCOLE Straße", ["été", "à", "l", "école", "straße"]),
        ("ŻÓŁĆ Čeština Ÿ", ["żółć", "čeština", "ÿ"]),
        ("ΑΘΗΝΑ МОСКВА Ёлка", ["αθηνα", "москва", "ёлка"]),
        ("猫が好き。とても", list("猫が好きとても")),
        ("GPT4は速い", ["gpt4", "は", "速", "い"]),
        ("สวัสดี", list("สวัสดี")),
        ("great😀😀 done", ["great", "😀", "😀", "done"]),
        ("✅ yes → no", ["✅", "yes", "→", "no"]),
        ("한국어 문서", ["한국어", "문서"]),
        ("a\x00b\u3000c\u00a0d", ["a", "b", "c", "d"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_tokens_give_the_characters_of_each_word() -> None:
    text = "Äh, das 猫😀 ist's!"
    assert [(text[start:end].lower(), word) for start, end, word in tokens(text)] == [
        (word, word) for word in ("äh", "das", "猫", "😀", "ist", "s")
    ]


def test_shingle_set_of_short_and_long_texts() -> None:
    assert shingle_set("", 5) == set()
    assert shingle_set("a b", 5) == {("a", "b")}
    assert shingle_set("a b c d", 3) == {("a", "b", "c"), ("b", "c", "d")}


def test_matching_spans_are_the_longest_runs() -> None:
    left = "Intro words here. The quick brown fox jumps over the lazy dog, they say."
    right = "Someone wrote: the QUICK brown fox jumps over the lazy cat; the end."
    ((l0, l1, r0, r1),) = matching_spans(left, right, 5)
    assert left[l0:l1] == "The quick brown fox jumps over the lazy"
    assert right[r0:r1] == "the QUICK brown fox jumps over the lazy"


def test_matching_spans_cover_every_shared_shingle() -> None:
    left = "a b c d e f X g h i j k l"
    right = "g h i j k l Y a b c d e f"
    assert [(left[p:q], right[r:s]) for p, q, r, s in matching_spans(left, right, 3)] == [
        ("a b c d e f", "a b c d e f"),
        ("g h i j k l", "g h i j k l"),
    ]


def test_matching_spans_prefer_the_longer_of_two_places() -> None:
    spans = matching_spans("a b c d e", "a b c Z a b c d e", 3)
    assert spans == [(0, 9, 8, 17)]


def test_matching_spans_of_short_and_unrelated_texts() -> None:
    assert matching_spans("Yes!", "yes", 5) == [(0, 3, 0, 3)]
    assert matching_spans("yes", "no", 5) == []
    assert matching_spans("", "", 5) == []
    assert matching_spans("a b c d e f", "f e d c b a", 2) == []


def test_matching_spans_stay_quick_on_repetition() -> None:
    text = "ha " * 20_000
    assert matching_spans(text, text, 5) == [(0, len(text) - 1, 0, len(text) - 1)]


def test_matching_spans_refuses_an_empty_shingle() -> None:
    with pytest.raises(ValueError, match="shingle"):
        matching_spans("a", "a", 0)
