"""Steps are named by content."""

from __future__ import annotations

from whence.core.step import Step, content_hash


def test_hash_is_by_content() -> None:
    assert content_hash({"a": 1, "b": [1, "x"]}) == content_hash({"b": [1, "x"], "a": 1})
    assert content_hash([1, 2]) != content_hash([2, 1]) and len(content_hash(None)) == 32


def test_key_and_round_trip() -> None:
    made = Step("score/x", {"k": 3, "p": 0.5}, 7, ("abc",))
    assert made.key == Step("score/x", {"p": 0.5, "k": 3}, 7, ("abc",)).key
    others = [
        Step("score/y", made.params, 7, ("abc",)),
        Step("score/x", {"k": 4, "p": 0.5}, 7, ("abc",)),
        Step("score/x", made.params, 8, ("abc",)),
        Step("score/x", made.params, 7, ()),
    ]
    assert len({made.key, *(o.key for o in others)}) == 5
    assert Step.from_dict(made.to_dict()) == made
