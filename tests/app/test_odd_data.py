"""Data at the edges of what can be studied: a study ends with a run and a recommendation, or with one clear error."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from whence.app.study.leave import _one_type

Rows = list[dict[str, Any]]
Study = Callable[..., Any]


@pytest.fixture
def study(whence: Callable[..., Any], small: tuple[str, ...], tmp_path: Path) -> Study:
    def run(train: Rows, test: Rows | None = None, *more: object) -> Any:
        args: list[object] = ["study", tmp_path / "train.jsonl", "-o", tmp_path / "run", *small, *more, "--json"]
        for name, rows in (("train", train), ("test", test)):
            if rows is not None:
                (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
        return whence(*args, *(["--test", tmp_path / "test.jsonl"] if test is not None else []))

    return run


def table(tmp_path: Path) -> Any:
    return pq.read_table(tmp_path / "run" / "pool.parquet")


def test_little_data_and_a_singleton_class(study: Study, rows: Callable[..., Rows]) -> None:
    answer = study([*rows(12), {"text": "lonely words of a class of its own", "label": "odd"}], rows(9, 5))
    assert answer.code == 0, answer.err
    assert answer.json["classes"] == 4 and answer.json["lds"]["value"] is None and "not checked" in str(answer.json["checks"])


def test_many_small_classes(study: Study, rows: Callable[..., Rows]) -> None:
    answer = study([{**r, "label": f"c{i % 40}"} for i, r in enumerate(rows(80))])
    assert answer.code == 0 and answer.json["classes"] == 40


@pytest.mark.parametrize("text", ["one word", "emoji", "chinese"])
def test_texts_that_share_no_words(study: Study, text: str) -> None:
    """BM25 finds nothing between rows, so it has no score beside influence's; the study goes on."""
    signs = "天地人你我他山水火木金土日月星"
    made = {
        "one word": lambda i: f"w{i}",
        "emoji": lambda i: "😀" * (1 + i % 7) + "🚀" * (i // 7),
        "chinese": lambda i: "".join(random.Random(i).choices(signs, k=12)),
    }[text]
    answer = study([{"text": made(i), "label": "ab"[i % 2]} for i in range(60)])
    assert answer.code == 0, answer.err
    contrast = {c["name"]: c["lds"] for c in answer.json["lds"]["contrast"]}
    assert contrast["influence"] is not None and contrast["bm25"] is None


def test_equal_texts_cannot_be_split(study: Study) -> None:
    answer = study([{"text": "the same words", "label": "ab"[i % 2]} for i in range(40)])
    assert answer.code == 2 and "duplicates of each other stay together" in answer.err


def test_labels_of_another_type_in_the_test_file(study: Study, rows: Callable[..., Rows], tmp_path: Path) -> None:
    code = {"sport": 0, "food": 1, "space": 2}
    answer = study(
        [{**r, "label": code[r["label"]]} for r in rows(60)], [{**r, "label": str(code[r["label"]])} for r in rows(30, 4)]
    )
    assert answer.code == 0, answer.err
    assert answer.json["proof"] == 30 and answer.json["proven"]["before"] > 0.6, "1 and '1' are the same class"
    assert set(table(tmp_path).column("label").to_pylist()) == {"0", "1", "2"}


def test_other_columns_of_another_type(study: Study, rows: Callable[..., Rows], tmp_path: Path) -> None:
    answer = study(
        [{**r, "n": i, "k": [i]} for i, r in enumerate(rows(60))],
        [{**r, "n": f"x{i}", "k": {"a": i}} for i, r in enumerate(rows(30, 4))],
    )
    assert answer.code == 0, answer.err
    found = table(tmp_path).to_pylist()
    assert (found[1]["n"], found[1]["k"], found[61]["n"]) == ("1", "[1]", "x1") and json.loads(found[61]["k"]) == {"a": 1}


def test_columns_that_agree_are_left_alone() -> None:
    import pyarrow as pa

    left, right = pa.table({"a": [1], "b": [1.5]}), pa.table({"a": [2.5], "b": [2.5], "c": ["x"]})
    assert [t.schema for t in _one_type(left, right)] == [left.schema, right.schema], "numbers widen by themselves"


def test_what_a_study_left_can_be_studied(study: Study, studied: Any, tmp_path: Path) -> None:
    answer = study(pq.read_table(studied.folder / "pool.parquet").to_pylist())
    assert answer.code == 0, answer.err
    assert table(tmp_path).column_names.count("whence_part") == 1


@pytest.mark.parametrize("which", ["one row", "all leaked", "one class", "a class never trained on"])
def test_odd_test_data(study: Study, rows: Callable[..., Rows], which: str) -> None:
    train, test = rows(60), rows(30, 4)
    test = {
        "one row": test[:1],
        "all leaked": train[:20],
        "one class": test[::3],
        "a class never trained on": [*test, {"text": "words of something else", "label": "new"}],
    }[which]
    answer = study(train, test)
    assert answer.code == 0, answer.err
    found = answer.json
    assert found["proof"] == (30 if "never" in which else len(test))
    assert found["leaked"] == (20 if which == "all leaked" else 0)
    if which == "all leaked":
        assert found["leak_effect"]["without_leaks"] is None and "nothing is left" in str(found["checks"])


def test_rows_without_a_label_are_set_aside(study: Study, rows: Callable[..., Rows]) -> None:
    answer = study([{**r, "label": None if i % 4 == 0 else r["label"]} for i, r in enumerate(rows(80))])
    assert answer.code == 0 and answer.json["train"] + answer.json["proof"] == 60 and answer.json["quarantined"] == 20


def test_markup_in_texts_and_labels_stays_text(study: Study, rows: Callable[..., Rows], tmp_path: Path) -> None:
    names = {"sport": 'a "quoted" </script><script>alert(1)</script>', "food": "ü" * 300, "space": "<b>"}
    answer = study([{"text": "<script>alert(1)</script> \u2028 \x00 " + r["text"], "label": names[r["label"]]} for r in rows(60)])
    assert answer.code == 0, answer.err
    assert "<script>alert(1)" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_own_ids_and_planting(study: Study, rows: Callable[..., Rows], whence: Callable[..., Any], tmp_path: Path) -> None:
    own = [[{"id": f"{name}{i}", **r} for i, r in enumerate(rows(n, seed))] for name, n, seed in (("q", 60, 0), ("t", 30, 4))]
    answer = study(*own, "--plant", "label-flips=0.1,duplicates=3,leaks=2")
    assert answer.code == 0, answer.err
    assert answer.json["train"] == 65 and answer.json["found"]["n"] == 6
    assert whence("why", tmp_path / "run", "q7", "--json").json["fields"]["id"] == "q7", "the user's own id is as good as ours"
