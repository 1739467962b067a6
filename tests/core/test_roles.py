"""Columns are found by name, then by what they hold; a doubt is an error that names the candidates."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool
from whence.core.roles import check_classification, guess_roles, name_columns

N = 60
WORDS = ["river", "engine", "garden", "music", "letter", "window", "summer", "market", "doctor", "bridge"]


def prose(seed: int, words: int = 9) -> list[str]:
    made = random.Random(seed)
    return [" ".join(made.choice(WORDS) for _ in range(words)) + f" {i}" for i in range(N)]


def some(values: str = "abc", seed: int = 0) -> list[str]:
    made = random.Random(seed)
    return [made.choice(values) for _ in range(N)]


UNIQUE, NUMBERS = [f"u{i:04}" for i in range(N)], list(range(N))


@pytest.mark.parametrize(("columns", "roles"), [
    ({"text": prose(1), "label": some()}, {"text": "text", "label": "label"}),
    ({"Review Text": prose(1), "Sentiment": some()}, {"text": "Review Text", "label": "Sentiment"}),
    ({"utterance": prose(1), "intent": some(), "domain": some("xy")}, {"text": "utterance", "label": "intent"}),
    ({"v1": ["ham" if i % 3 else "spam" for i in range(N)], "v2": prose(1)}, {"text": "v2", "label": "v1"}),
    ({"id": UNIQUE, "title": prose(2, 2), "body": prose(1), "category": some()}, {"id": "id", "text": "body",
     "label": "category"}),
    ({"sentence": prose(1), "y": [i % 4 for i in range(N)]}, {"text": "sentence", "label": "y"}),
    ({"comment": prose(1), "toxic": [i % 2 for i in range(N)], "when": NUMBERS}, {"text": "comment",
     "label": "toxic"}),
    ({"tweet": prose(1), "class": [i % 3 for i in range(N)], "count": [i % 5 for i in range(N)]}, {"text": "tweet",
     "label": "class"}),
    ({"premise": prose(1), "hypothesis": prose(2),
     "gold_label": some()},
     {"text": "premise", "pair": "hypothesis", "label": "gold_label"}),
    ({"sentence1": prose(1), "sentence2": prose(2), "label": some("01")}, {"text": "sentence1", "pair": "sentence2",
     "label": "label"}),
    ({"text": prose(1), "label": NUMBERS[: N // 2] * 2, "label_text": some()}, {"text": "text", "label": "label"}),
    ({"text": prose(1), "coarse_label": some(), "fine_label": some("abcdef", 2)}, {"text": "text",
     "label": "coarse_label"}),
    ({"instruction": prose(1), "input": [""] * N, "output": prose(2)}, {"prompt": "instruction", "input": "input",
     "response": "output"}),
    ({"prompt": prose(1), "completion": prose(2), "label": [i % 2 == 0 for i in range(N)]},
     {"prompt": "prompt", "response": "completion", "label": "label"}),
    ({"prompt": prose(1), "chosen": prose(2), "rejected": prose(3)}, {"prompt": "prompt", "chosen": "chosen",
     "rejected": "rejected"}),
    ({"question": prose(1), "answer": prose(2)}, {"prompt": "question", "response": "answer"}),
    ({"input": prose(1), "target": prose(2)}, {"prompt": "input",
     "response": "target"}),
    ({"input": prose(1), "target": some()}, {"text": "input", "label": "target"}),
    ({"source": prose(1), "target": prose(2)}, {"prompt": "source", "response": "target"}),
    ({"text": prose(1), "source": ["web"] * N, "created": ["2024-01-02T03:04:05"] * 30 + ["2024-02-02T03:04:05"] * 30},
     {"text": "text", "source": "source", "time": "created"}),
    ({"text": prose(1), "label": some(), "split": ["train"] * 40 + ["test"] * 20}, {"text": "text", "label": "label",
     "split": "split"}),
    # columns called anything
    ({"a": prose(1), "b": some()}, {"text": "a", "label": "b"}),
    ({"col0": UNIQUE, "col1": some(), "col2": prose(1), "col3": [i / 7 for i in range(N)]}, {"text": "col2", "label": "col1"}),
    ({"x": [i % 2 for i in range(N)], "z": prose(1)}, {"text": "z", "label": "x"}),
    ({"p": prose(1), "q": [t.replace("river", "lake") for t in prose(1)], "r": some()}, {"text": "p", "pair": "q", "label": "r"}),
    ({"only": prose(1)}, {"text": "only"}),
])  # fmt: skip
def test_roles(columns: dict[str, list[Any]], roles: dict[str, str]) -> None:
    assert dict(guess_roles(pa.table(columns)).roles) == roles


def test_messages_of_both_kinds() -> None:
    for key, keys in (("messages", ("role", "content")), ("conversations", ("from", "value"))):
        table = pa.table({key: [[{keys[0]: "user", keys[1]: "hello there"}]] * 3, "id": ["a", "b", "c"]})
        assert dict(guess_roles(table).roles) == {"messages": key, "id": "id"}
        assert Pool.from_arrow(table, roles={"messages": key}).texts[0] == "hello there"


def test_reasons_are_words() -> None:
    guess = guess_roles(pa.table({"utterance": prose(1), "intent": some()}))
    assert guess.reasons[1] == "label: column 'intent' (3 distinct values in 60 rows)"
    assert guess.reasons[0].startswith("text: column 'utterance' (")


def test_doubt_is_an_error_and_a_flag_ends_it() -> None:
    table = pa.table({"text": prose(1), "one": some(), "two": some("xyz", 3)})
    with pytest.raises(BadInput, match=r"'one' .*'two' .*--label one"):
        guess_roles(table)
    assert guess_roles(table, given={"label": "two"}).roles["label"] == "two"
    assert "label" not in guess_roles(table, given={"label": "none"}).roles


def test_a_unique_column_is_no_label_and_a_repeated_one_no_id() -> None:
    roles = guess_roles(pa.table({"text": prose(1), "key": UNIQUE, "id": [1, 1, *NUMBERS[2:]]})).roles
    assert dict(roles) == {"text": "text"}


def test_names_for_columns_without_names() -> None:
    table = pa.table({"column_1": NUMBERS, "column_2": prose(1), "column_3": some()})
    assert name_columns(table).column_names == ["id", "text", "label"]
    assert name_columns(table, {"text": "column_2"}).column_names == table.column_names


def pool_of(labels: list[Any]) -> Pool:
    return Pool.from_rows(
        [{"text": f"row {i}", "label": v} for i, v in enumerate(labels)], roles={"text": "text", "label": "label"}
    )


@pytest.mark.parametrize(("labels", "words"), [
    ([None, None], "No row has a label"),
    (["a"] * 5, "are the same"),
    ([i / 7 for i in range(1, 50)], "measurements"),
    (list(range(40)), "a label of its own"),
    ([f"text {i}" for i in range(40)], "a label of its own"),
])  # fmt: skip
def test_what_cannot_be_classes(labels: list[Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        check_classification(pool_of(labels))


def test_no_label_column() -> None:
    with pytest.raises(NotCapable, match="--label"):
        check_classification(Pool.from_rows([{"text": "a"}], roles={"text": "text"}))


def test_warnings() -> None:
    assert check_classification(pool_of(["a", "b"] * 10)) == ()
    said = " | ".join(check_classification(pool_of(["a"] * 50 + ["b"] * 2 + ["A ", None])))
    assert "1 of 54 rows have no label" in said and "one example only: A " in said
    assert "50 examples, the smallest 1" in said and "differ only in case" in said
