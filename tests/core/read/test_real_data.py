"""The data sets beside the checkout load with no hint but their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from whence.core.errors import BadInput
from whence.core.read import load
from whence.core.roles import check_classification

pytestmark = pytest.mark.data


@pytest.mark.parametrize(("path", "rows", "roles", "classes"), [
    ("clinc150/data_full.json.gz", 15_000, {"text": "text", "label": "label"}, 150),
    ("clinc150/data_full.json.gz#oos_test", 1_000, {"text": "text"}, 0),
    ("trec6/train.txt", 5_452, {"text": "text", "label": "label"}, 6),
    ("trec6/test.txt", 500, {"text": "text", "label": "label"}, 6),
    ("sst2/train.txt.gz", 6_920, {"text": "text", "label": "label"}, 2),
    ("alpaca_16k/alpaca_16k.jsonl.zst", 16_019, {"id": "id", "prompt": "instruction", "input": "input", "response": "output"}, 0),
    ("gsm8k/train.jsonl.zst", 7_473, {"prompt": "question", "response": "answer"}, 0),
    ("paws_wiki/dev.tsv.gz", 8_000, {"id": "id", "text": "sentence1", "pair": "sentence2", "label": "label"}, 2),
    ("mmlu_redux/mmlu_redux.jsonl.gz", 5_700, {"text": "question", "label": "answer"}, 4),
    ("dblp_acm/valid.txt.gz", 2_473, {"text": "sentence1", "pair": "sentence2", "label": "label"}, 2),
    ("rephrased_benchmarks/high_school_us_history_test.csv", 204, {"text": "text", "label": "label"}, 4),
    ("humaneval/HumanEval.jsonl.gz", 164, {"id": "task_id", "prompt": "prompt", "response": "canonical_solution"}, 0),
    ("scan/tasks_test_addprim_jump.txt.gz", 7_706, {"text": "text"}, 0),
])  # fmt: skip
def test_without_a_hint(data_dir: Path, path: str, rows: int, roles: dict[str, str], classes: int) -> None:
    pool = load(f"{data_dir}/{path}")
    assert len(pool) == rows and not pool.quarantined
    assert {r: c for r, c in pool.roles.items() if classes or r != "label"} == roles
    if classes:
        assert len(pool.labels.names) == classes
        check_classification(pool)


def test_folders(data_dir: Path) -> None:
    assert len(load(data_dir / "trec6")) == 5_452 and len(load(data_dir / "sst2", split="dev")) == 872
    for several in ("clinc150", "scifact"):
        with pytest.raises(BadInput, match="different tables"):
            load(data_dir / several)


def test_empty_rows_are_told(data_dir: Path) -> None:
    pool = load(data_dir / "cranfield" / "corpus.jsonl.gz")
    assert len(pool) == 1398 and [q.line for q in pool.quarantined] == [471, 995]


def test_several_label_columns_are_refused(data_dir: Path) -> None:
    path = data_dir / "crowdtruth_medrel" / "ground_truth_cause.csv.gz"
    with pytest.raises(BadInput, match=r"'baseline'.*'expert'.*--label"):
        load(path)
    pool = load(path, roles={"label": "baseline"})
    assert len(pool) == 3984 and pool.labels.names == ("-1", "1") and pool.roles["text"] == "sentence"
    assert pool.table.column("expert").null_count > 2000
