"""The pool: identity by content, lineage, roles, and what it refuses."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from whence.core.decision import Selection
from whence.core.errors import BadInput, NotCapable, UnknownName
from whence.core.pool import ID, Pool, Quarantined
from whence.core.step import Step

ROWS = [{"text": "one", "label": "b"}, {"text": "two", "label": "a"}, {"text": "one", "label": "b"}]
STEP = Step("test")


def pool() -> Pool:
    return Pool.from_rows(ROWS, roles={"text": "text", "label": "label"})


def test_ids_are_content_and_repeats_are_numbered() -> None:
    made = pool()
    assert made.ids[2] == made.ids[0] + "~2" and len(made.ids[0]) == 32
    assert Pool.from_rows([{"label": "a", "text": "two"}]).ids == (made.ids[1],), "the order of columns is no content"
    assert Pool.from_rows([{"text": "two"}]).ids != (made.ids[1],)


def test_known_ids_are_kept_and_edits_have_parents() -> None:
    made = pool()
    swapped = made.table.take([2, 0, 1])
    assert Pool.from_arrow(swapped).ids == (made.ids[2], made.ids[0], made.ids[1])
    edited = made.table.set_column(0, "text", pa.array(["one", "TWO", "one"]))
    again = Pool.from_arrow(edited)
    assert again.ids[0] == made.ids[0] and again.ids[1] != made.ids[1] and again[1].parents == (made.ids[1],)


def test_many_equal_rows_take_linear_time() -> None:
    began = time.process_time()
    made = Pool.from_rows([{"text": "same"}] * 30_000)
    assert made.ids[-1].endswith("~30000") and len(set(made.ids)) == 30_000
    assert time.process_time() - began < 5


def test_looking() -> None:
    made = pool()
    assert len(made) == 3 and made.columns == ["text", "label"] and made.texts == ("one", "two", "one")
    assert made[1].fields == {"text": "two", "label": "a"} and made[made.ids[1][:6]].id == made.ids[1]
    assert [e.id for e in made] == list(made.ids) and made.ids[0] in made and "x" not in made
    assert made.position(made.ids[2]) == 2 and made.positions(made.ids[::-1]).tolist() == [2, 1, 0]
    assert repr(made).startswith("Pool('pool', 3 examples") and "text='two'" in repr(made[1])


def test_the_users_own_id_is_understood() -> None:
    made = Pool.from_rows([{"text": "a", "key": 17}, {"text": "b", "key": 18}], roles={"text": "text", "id": "key"})
    assert made.position("18") == 1


def test_what_it_refuses() -> None:
    made = pool()
    for key in ("zzzz", made.ids[0][:2]):
        with pytest.raises(BadInput, match="names no examples"):
            made.position(key)
    with pytest.raises(BadInput, match="not in"):
        made.positions(["nothing"])
    with pytest.raises(UnknownName, match="did you mean 'text'"):
        Pool.from_rows(ROWS, roles={"txt": "text"})
    with pytest.raises(BadInput, match="no column 'words'"):
        Pool.from_rows(ROWS, roles={"text": "words"})
    with pytest.raises(BadInput, match="mixes types"):
        Pool.from_rows([{"a": 1}, {"a": "x"}])
    with pytest.raises(NotCapable, match="--prompt"):
        made.column("prompt")
    with pytest.raises(NotCapable, match="--text"):
        _ = Pool.from_rows([{"n": 1}]).texts


def test_fingerprint_is_content_order_and_roles() -> None:
    made = pool()
    assert made.fingerprint == pool().fingerprint
    others = [
        Pool.from_rows(ROWS[:2], roles=made.roles),
        Pool.from_rows([ROWS[1], ROWS[0], ROWS[2]], roles=made.roles),
        Pool.from_rows(ROWS),
    ]
    assert len({made.fingerprint, *(o.fingerprint for o in others)}) == 4
    assert Pool(made.table, made.roles, quarantined=(Quarantined("x", 1, "bad"),)).fingerprint == made.fingerprint


@pytest.mark.parametrize(("rows", "roles", "text"), [
    ([{"p": "ask", "r": "say"}], {"prompt": "p", "response": "r"}, "ask\n\nsay"),
    ([{"p": "ask", "i": "of this", "r": "say"}], {"prompt": "p", "input": "i", "response": "r"}, "ask\n\nof this\n\nsay"),
    ([{"p": "ask", "i": "", "r": None}], {"prompt": "p", "input": "i", "response": "r"}, "ask"),
    ([{"p": "ask", "c": "good", "j": "bad"}], {"prompt": "p", "chosen": "c", "rejected": "j"}, "ask\n\ngood"),
    ([{"c": "good", "j": "bad"}], {"chosen": "c", "rejected": "j"}, "good"),
    ([{"m": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}], {"messages": "m"}, "hi\nyes"),
    ([{"m": [{"from": "human", "value": "hi"}]}], {"messages": "m"}, "hi"),
    ([{"a": "one", "b": "two"}], {"text": "a", "pair": "b"}, "one\n\ntwo"),
])  # fmt: skip
def test_what_an_example_says(rows: list[dict[str, object]], roles: dict[str, str], text: str) -> None:
    assert Pool.from_rows(rows, roles=roles).texts == (text,)


def test_labels() -> None:
    labels = pool().labels
    assert labels.names == ("a", "b") and labels.codes.tolist() == [1, 0, 1] and labels.counts == {"a": 1, "b": 2}
    numbers = Pool.from_rows([{"l": v} for v in (10.0, 9.0, None, float("nan"))], roles={"label": "l"}).labels
    assert numbers.names == ("9", "10") and numbers.codes.tolist() == [1, 0, -1, -1]
    with pytest.raises(BadInput, match="not single values"):
        _ = Pool.from_rows([{"l": [1]}], roles={"label": "l"}).labels


def test_take_and_extend_write_lineage() -> None:
    made = Pool(pool().table, pool().roles, quarantined=(Quarantined("x.csv", 3, "bad", "raw"),))
    taken = made.take(Selection.of(made, [1, 0], step=STEP, reason="not wanted"))
    assert taken.ids == (made.ids[1], made.ids[0]) and taken.lineage[-1].params["dropped"] == 1
    assert taken.quarantined == made.quarantined
    more = taken.extend(Pool.from_rows([ROWS[0], {"text": "three", "label": "c"}]), step=STEP)
    assert more.texts == ("two", "one", "three") and len(taken) == 2 and more.lineage[-1] == STEP
    with pytest.raises(BadInput, match="not in"):
        made.take(Selection(("nothing",), {}, STEP))


def test_quarantined_in_words() -> None:
    row = Quarantined("x.csv", 3, "the row has 1 fields, not 2", "oops")
    assert str(row) == "x.csv:3: the row has 1 fields, not 2"
    assert row.to_dict() == {"path": "x.csv", "line": 3, "reason": "the row has 1 fields, not 2", "raw": "oops"}


def test_empty_pool_and_leaving() -> None:
    empty = Pool.from_rows([])
    assert len(empty) == 0 and empty.ids == () and len(Pool.from_arrow(pa.table({"text": pa.array([], pa.string())}))) == 0
    assert pool().to_arrow().column_names[-3] == ID and list(pool().to_pandas()["text"]) == ["one", "two", "one"]
    datasets = pytest.importorskip("datasets")
    assert isinstance(pool().to_datasets(), datasets.Dataset) and pool().to_datasets()[1]["text"] == "two"
