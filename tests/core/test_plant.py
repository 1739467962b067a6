"""What is planted is what the truth says, and nothing else in the pool tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whence.core.errors import BadInput, NotCapable, UnknownName
from whence.core.plant import Planted, edit, parse, plant
from whence.core.pool import OWN_COLUMNS, SOURCE, Pool

TEXT = "the quick brown fox jumps over the lazy dog while the old grey cat looks on from the wall number"


def pool_of(n: int, start: int = 0, text: str = TEXT) -> Pool:
    return Pool.from_arrow(
        Pool.from_rows(
            [{"text": f"{text} {i}", "label": "abcd"[i % 4], "key": i} for i in range(start, start + n)]
        ).table.drop_columns(OWN_COLUMNS),
        roles={"text": "text", "label": "label", "id": "key"},
        sources=[f"x.jsonl:{i + 1}" for i in range(n)],
    )


TRAIN, TEST = pool_of(400), pool_of(100, 1000)
SPEC = "label-flips=0.05,duplicates=0.02,leaks=20"


def test_counts_and_truth() -> None:
    made, test, truth = plant(TRAIN, SPEC, seed=7, test=TEST)
    assert test is TEST and len(made) == 400 + 8 + 20
    assert [len(truth.ids(k)) for k in ("label-flip", "duplicate", "leak")] == [20, 8, 20]
    assert set(truth.kinds) <= set(made.ids) and set(truth.made_from) == set(truth.kinds)
    was = dict(zip(TRAIN.ids, TRAIN.column("label"), strict=True))
    for this in truth.ids("label-flip"):
        parent = truth.made_from[this]
        assert made[this].parents == (parent,) and parent not in made
        assert truth.true_labels[this] == was[parent] != made[this].fields["label"]
        assert made[this].fields["text"] == TRAIN[parent].fields["text"]
    for this in truth.ids("duplicate"):
        parent = TRAIN[truth.made_from[this]]
        assert parent.id in made and made[this].fields["label"] == parent.fields["label"]
        assert made[this].fields["text"] != parent.fields["text"]
        a, b = set(made[this].fields["text"].lower().split()), set(parent.fields["text"].lower().split())
        assert len(a & b) / len(a | b) > 0.8
    exact = sum(made[this].fields["text"] == TEST[truth.made_from[this]].fields["text"] for this in truth.ids("leak"))
    assert exact == 10
    untouched = [i for i in made.ids if i not in truth.kinds]
    assert len(untouched) == 380 and all(made[i].fields == TRAIN[i].fields and made[i].parents == () for i in untouched)


def test_no_column_tells() -> None:
    made, _, truth = plant(TRAIN, SPEC, seed=7, test=TEST)
    assert made.columns == TRAIN.columns and dict(made.roles) == dict(TRAIN.roles)
    assert made.table.column(SOURCE).null_count == 0
    assert len(set(made.column("id"))) == len(made), "the user's ids stay unique"
    places = [i for i, this in enumerate(made.ids) if truth.kinds.get(this) in ("duplicate", "leak")]
    assert min(places) < len(made) / 4 and max(places) > 3 * len(made) / 4, "planted rows do not stand at the end"


def test_the_seed_decides_and_kinds_draw_alone() -> None:
    one, again, other = (plant(TRAIN, SPEC, seed=s, test=TEST) for s in (7, 7, 8))
    assert one[0].ids == again[0].ids and one[2] == again[2] and one[0].ids != other[0].ids
    alone = plant(TRAIN, "label-flips=0.05", seed=7)[2]
    assert alone.ids("label-flip") == one[2].ids("label-flip")


def test_flips_of_number_labels_are_even() -> None:
    pool = Pool.from_rows([{"text": f"row {i}", "label": i % 3} for i in range(3000)], roles={"text": "text", "label": "label"})
    made, _, truth = plant(pool, "label-flips=900", seed=1)
    to = [(truth.true_labels[i], str(made[i].fields["label"])) for i in truth.ids("label-flip")]
    assert all(a != b for a, b in to)
    counts = [sum(p == pair for p in to) for pair in {("0", "1"), ("0", "2"), ("1", "0"), ("1", "2"), ("2", "0"), ("2", "1")}]
    assert min(counts) > 110 and sum(counts) == 900


def test_saved_truth_comes_back(tmp_path: Path) -> None:
    truth = plant(TRAIN, SPEC, seed=7, test=TEST)[2]
    truth.save(tmp_path / "planted.json")
    assert Planted.read(tmp_path / "planted.json") == truth
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(BadInput, match="no record"):
        Planted.read(tmp_path / "bad.json")


def test_parse() -> None:
    assert parse("label-flips=0.05, duplicates=2%,leaks=20") == {"label-flips": 0.05, "duplicates": 0.02, "leaks": 20.0}
    assert parse("label_flips=3") == {"label-flips": 3.0}


@pytest.mark.parametrize(("spec", "words"), [
    ("", "Nothing"), ("label-flips", "cannot be read"), ("label-flips=x", "cannot be read"), ("label-flips=-1", "cannot be read"),
    ("leaks=2.5", "cannot be read"), ("leaks=nan", "cannot be read"), ("leaks=0", "cannot be read"),
    ("leaks=1,leaks=2", "twice"), ("labelflips=0.1", "did you mean 'label-flips'"), ("label-flips=401", "cannot be planted"),
    ("leaks=20", "no test data"),
])  # fmt: skip
def test_bad_specifications(spec: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        plant(TRAIN, spec)


def test_what_cannot_be_planted() -> None:
    one = Pool.from_rows([{"text": "a b", "label": "x"}] * 3, roles={"text": "text", "label": "label"})
    with pytest.raises(BadInput, match="one class"):
        plant(one, "label-flips=1")
    with pytest.raises(NotCapable, match="no text"):
        plant(Pool.from_rows([{"n": 1}, {"n": 2}]), "duplicates=1")
    with pytest.raises(UnknownName):
        Planted().ids("flips")


@pytest.mark.parametrize("text", ["", "a", "A.", "hello there", "one two three", TEXT])
def test_an_edit_always_changes_and_keeps_nearly_all(text: str) -> None:
    for seed in range(30):
        done = edit(text, np.random.default_rng(seed))
        assert done != text and done.strip()
        assert abs(len(done.split()) - len(text.split())) <= 1
