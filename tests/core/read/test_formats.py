"""Each format as it is found in the wild gives the rows that stand in it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whence.core.pool import SOURCE
from whence.core.read import load
from whence.core.read.jsonl import read_jsonl
from whence.core.read.rows import Settings
from whence.core.read.stream import Source, lines


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def rows(pool: Any) -> list[dict[str, Any]]:
    return [dict(e.fields) for e in pool]


# -- JSON Lines ---------------------------------------------------------------------------------------------------------


def test_jsonl_takes_mark_crlf_blanks_and_a_missing_last_newline(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", b'\xef\xbb\xbf{"text": "a b", "label": 1}\r\n\r\n{"text": "c d", "label": 2}')
    pool = load(path)
    assert rows(pool) == [{"text": "a b", "label": 1}, {"text": "c d", "label": 2}]
    assert pool.table.column(SOURCE).to_pylist() == ["x.jsonl:1", "x.jsonl:3"]


def test_jsonl_quarantines_what_is_malformed(tmp_path: Path) -> None:
    good = '{"text": "fine row"}\n'
    path = write(tmp_path, "x.jsonl", good * 5 + '{"text": "cut\n' + "[1, [2]]\n" + '"only text"\n' + good + "x" * 500 + "\n")
    pool = load(path)
    assert len(pool) == 6
    assert [(q.path, q.line, q.reason) for q in pool.quarantined] == [
        ("x.jsonl", 6, "not JSON (unexpected end of data)"),
        ("x.jsonl", 7, "the line is an array, not an object"),
        ("x.jsonl", 8, "the line is a string, not an object"),
        ("x.jsonl", 10, "not JSON (unexpected character, expected a JSON value)"),
    ]
    assert [len(q.raw) for q in pool.quarantined] == [13, 8, 11, 200]
    assert pool.lineage[0].params["quarantined"] == 4


def test_mixed_types_become_text_and_it_is_said(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "x.jsonl",
        "".join(
            json.dumps(r) + "\n"
            for r in [
                {"text": "a b", "k": 1},
                {"text": "c d", "k": "one"},
                {"text": "e f", "k": [1, 2]},
                {"text": "g h", "k": None},
            ]
        ),
    )
    pool = load(path)
    assert pool.table.column("k").to_pylist() == ["1", "one", "[1,2]", None]
    assert any("column 'k' mixes" in n for n in pool.lineage[0].params["notes"])


def test_types_that_change_after_the_first_batch(tmp_path: Path) -> None:
    n = 8192
    made = [{"text": f"row {i}", "k": i, "s": {"a": 1}, "f": 1} for i in range(n)]
    made += [{"text": "late", "k": "text", "s": {"a": 2, "b": "x"}, "f": 0.5, "new": True}]
    pool = load(write(tmp_path, "x.jsonl", "".join(json.dumps(r) + "\n" for r in made)))
    assert pool.table.column("k")[0].as_py() == "0" and pool.table.column("k")[n].as_py() == "text"
    assert pool.table.column("s")[0].as_py() == {"a": 1, "b": None} and pool.table.column("s")[n].as_py() == {"a": 2, "b": "x"}
    assert pool.table.column("f").type == pa.float64()
    assert pool.table.column("new").to_pylist()[-2:] == [None, True]


def test_dictionaries_of_many_keys_stay_text() -> None:
    pool = load([{"text": f"row {i}", "m": {f"key {i}": i}} for i in range(200)])
    assert pool[3].fields["m"] == '{"key 3":3}'


def test_nan_is_null_and_surrogates_are_refused(tmp_path: Path) -> None:
    pool = load(write(tmp_path, "x.jsonl", '{"text": "a b", "x": NaN}\n{"text": "c d", "x": 1.5}\n{"text": "\\ud800"}\n'))
    assert [r["x"] for r in rows(pool)] == [None, 1.5]
    assert pool.quarantined[0].line == 3


def test_a_line_that_is_too_long_is_quarantined_without_being_held(tmp_path: Path) -> None:
    data = '{"text": "first"}\n{"text": "' + "x" * 5000 + '"}\n{"text": "last"}\n'
    found = read_jsonl(Source.of(write(tmp_path, "x.jsonl", data)), Settings(), max_line=1000)
    assert found.table.column("text").to_pylist() == ["first", "last"]
    assert [(q.line, len(q.raw)) for q in found.quarantined] == [(2, 200)]
    # longer than a chunk: the line is never joined
    big = b'{"text": "first"}\n' + b"y" * (3 << 20) + b'\n{"text": "last"}\n'
    got = list(lines(Source.of(write(tmp_path, "y.jsonl", big)), max_line=1 << 20))
    assert [(x.number, x.text is None) for x in got] == [(1, False), (2, True), (3, False)]


def test_lines_across_chunk_borders(tmp_path: Path) -> None:
    texts = [f"line {i} " + "é" * (i % 97) for i in range(30_000)]
    path = write(tmp_path, "x.txt", "\n".join(texts))
    assert [x.text for x in lines(Source.of(path))] == texts


def test_limit_and_progress(tmp_path: Path) -> None:
    told: list[int] = []
    path = write(tmp_path, "x.jsonl", '{"text": "a b"}\n' * 10_000)
    assert len(load(path, limit=9000, progress=told.append)) == 9000
    assert sum(told) == 9000 and len(told) == 3


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".bz2"])
def test_packed_alike(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.jsonl{suffix}"
    data = b'{"text": "a b", "label": "x"}\n{"text": "c d", "label": "y"}\n'
    if suffix:
        codec = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}[suffix]
        with pa.CompressedOutputStream(str(path), codec) as out:
            out.write(data)
    else:
        path.write_bytes(data)
    assert [e.fields["text"] for e in load(path)] == ["a b", "c d"]


def test_gzip_of_several_members_and_without_suffix(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", gzip.compress(b'{"text": "a b"}\n') + gzip.compress(b'{"text": "c d"}\n'))
    assert load(path).texts == ("a b", "c d")


# -- JSON documents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [
    [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}],
    {"text": ["a b", "c d"], "label": ["x", "y"]},
    {"text": {"0": "a b", "1": "c d"}, "label": {"0": "x", "1": "y"}},
    {"data": [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}], "version": "1"},
    {"train": [{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}], "test": [{"text": "e", "label": "x"}]},
    {"about": {"size": 2}, "examples": {"1": {"text": "a b", "label": "x"}, "7": {"text": "c d", "label": "y"}}},
])  # fmt: skip
@pytest.mark.parametrize("indent", [None, 2])
def test_json_documents(tmp_path: Path, value: Any, indent: int | None) -> None:
    pool = load(write(tmp_path, "x.json", json.dumps(value, indent=indent)))
    assert pool.texts == ("a b", "c d") and pool.column("label") == ["x", "y"]


def test_json_splits_by_argument_and_by_mark(tmp_path: Path) -> None:
    value = {
        "oos_test": [["q", "oos"]],
        "val": [["v one", "x"], ["v two", "y"]],
        "train": [[f"t {i}", "xy"[i % 2]] for i in range(20)],
    }
    path = write(tmp_path, "x.json", json.dumps(value))
    assert len(load(path)) == 20 and dict(load(path).roles) == {"text": "text", "label": "label"}
    for pool in (load(path, split="dev"), load(f"{path}#val"), load(path, split="validation")):
        assert pool.table.column(0).to_pylist() == ["v one", "v two"]


def test_json_file_that_is_really_lines(tmp_path: Path) -> None:
    assert load(write(tmp_path, "x.json", '{"text": "a b"}\n{"text": "c d"}\n')).texts == ("a b", "c d")


def test_jsonl_file_that_is_really_a_document(tmp_path: Path) -> None:
    assert load(write(tmp_path, "x.jsonl", json.dumps([{"text": "a b"}, {"text": "c d"}], indent=1))).texts == ("a b", "c d")


# -- CSV and TSV --------------------------------------------------------------------------------------------------------


def test_csv_quotes_newlines_and_types(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "x.csv",
        (
            "text,label,n,share,ok,code\r\n"
            '"one, with ""quotes""\r\nand a line",pos,1,0.5,true,007\r\n'
            "\r\n"
            "plain text,neg,2,NA,false,010\r\n"
            'said "so" then,neg,,2,true,x\r\n'
        ),
    )
    pool = load(path)
    assert rows(pool) == [
        {"text": 'one, with "quotes"\r\nand a line', "label": "pos", "n": 1, "share": 0.5, "ok": True, "code": "007"},
        {"text": "plain text", "label": "neg", "n": 2, "share": None, "ok": False, "code": "010"},
        {"text": 'said "so" then', "label": "neg", "n": None, "share": 2.0, "ok": True, "code": "x"},
    ]
    assert pool.table.column(SOURCE).to_pylist() == ["x.csv:2", "x.csv:5", "x.csv:6"]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path: Path, sign: str) -> None:
    body = "".join(f"some text number {i}{sign}{'ab'[i % 2]}\n" for i in range(10))
    for name in ("x.csv", "x.tsv", "x.data"):
        pool = load(write(tmp_path, name, f"text{sign}label\n" + body))
        assert pool.column("label")[:2] == ["a", "b"] and len(pool) == 10


def test_ragged_rows_are_quarantined(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", 'text,label\na b,1\nc d\ne f,2,3\ng h,4\ni j,5\n"open,6\nk l,7\n')
    pool = load(path)
    assert pool.column("label") == [1, 4, 5, 6, 7]
    assert pool.texts[3] == '"open', "a stray quote does not swallow the file"
    assert [(q.line, q.reason) for q in pool.quarantined] == [
        (3, "the row has 1 fields, not 2"),
        (4, "the row has 3 fields, not 2"),
    ]


def test_stray_quotes_in_tsv(tmp_path: Path) -> None:
    body = 'id\ttext\tlabel\n1\t"Hi" he said\ta\n2\t"open\tb\n3\tclose" it\ta\n4\t"all of it"\tb\n'
    pool = load(write(tmp_path, "x.tsv", body))
    assert pool.texts == ('"Hi" he said', '"open', 'close" it', "all of it") and not pool.quarantined


@pytest.mark.parametrize(("name", "body", "roles"), [
    ("x.tsv", "".join(f"{'pos' if i % 2 else 'neg'}\tthis is film number {i}\n" for i in range(20)),
     {"label": "label", "text": "text"}),
    ("x.txt", "".join(f"this is film number {i}\t{i % 2}\n" for i in range(20)), {"label": "label",
     "text": "text"}),
    ("x.txt", "".join(f"i feel like film number {i};{'joy' if i % 2 else 'fear'}\n" for i in range(20)),
     {"label": "label", "text": "text"}),
    ("x.csv", "".join(f'"{i % 3}","this, is film number {i}"\n' for i in range(20)), {"label": "label", "text": "text"}),
])  # fmt: skip
def test_tables_without_a_header(tmp_path: Path, name: str, body: str, roles: dict[str, str]) -> None:
    pool = load(write(tmp_path, name, body))
    assert len(pool) == 20 and dict(pool.roles) == roles and "film number 19" in pool.texts[19]


def test_one_column_of_text_with_commas(tmp_path: Path) -> None:
    assert load(write(tmp_path, "x.csv", "text\nhello, you\nand, so, on\nplain\n")).texts == (
        "hello, you",
        "and, so, on",
        "plain",
    )


def test_pandas_index_column_and_row_names(tmp_path: Path) -> None:
    pool = load(write(tmp_path, "x.csv", ",text,label\n0,a b,x\n1,c d,y\n2,e f,x\n"))
    assert pool.columns == ["column_1", "text", "label"]
    pool = load(write(tmp_path, "y.csv", "text,label\nr1,a b,x\nr2,c d,y\nr3,e f,x\n"))
    assert pool.columns == ["row_name", "text", "label"] and pool.texts == ("a b", "c d", "e f")


# -- plain text ---------------------------------------------------------------------------------------------------------


def test_fasttext(tmp_path: Path) -> None:
    pool = load(write(tmp_path, "x.txt", "__label__a one two\n__label__b __label__c three\n"))
    assert rows(pool)[0]["label"] == "a" and rows(pool)[1] == {"label": "b", "text": "three", "more_labels": ["c"]}


def test_coarse_and_fine(tmp_path: Path) -> None:
    pool = load(write(tmp_path, "x.txt", "".join(f"{'DESC:def' if i % 2 else 'HUM:ind'} what is it {i} ?\n" for i in range(20))))
    assert (
        rows(pool)[1] == {"label": "DESC", "label_fine": "DESC:def", "text": "what is it 1 ?"} and pool.roles["label"] == "label"
    )


def test_small_numbers_in_front(tmp_path: Path) -> None:
    pool = load(write(tmp_path, "x.txt", "".join(f"{i % 2} film number {i}\n" for i in range(30))))
    assert pool.labels.names == ("0", "1") and pool.texts[3] == "film number 3"


def test_prose_is_no_label(tmp_path: Path) -> None:
    body = "".join(f"{'What' if i % 2 else 'Who'} is the person number {i} ?\n" for i in range(60))
    pool = load(write(tmp_path, "x.txt", body))
    assert dict(pool.roles) == {"text": "text"} and pool.texts[0] == "Who is the person number 0 ?"


# -- Parquet, Arrow, folders, memory ------------------------------------------------------------------------------------

TABLE = pa.table({"text": ["a b", "c d", "e f"], "label": pa.array(["x", "y", "x"]).dictionary_encode()})


def test_parquet_and_arrow(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet")
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    with pa.OSFile(str(tmp_path / "stream.arrow"), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    ids = {load(tmp_path / n).ids for n in ("x.parquet", "x.arrow", "stream.arrow")} | {load(TABLE).ids}
    assert len(ids) == 1
    assert load(tmp_path / "x.parquet", limit=2).texts == ("a b", "c d")
    assert load(tmp_path / "x.parquet").table.column(SOURCE).to_pylist()[2] == "x.parquet:3"


def test_class_codes_become_names(tmp_path: Path) -> None:
    meta = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}}}
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())], metadata={b"huggingface": json.dumps(meta).encode()})
    pq.write_table(pa.table({"text": ["a b", "c d", "e f"], "label": [1, 0, -1]}, schema=schema), tmp_path / "x.parquet")
    assert load(tmp_path / "x.parquet").column("label") == ["yes", "no", None]


def test_saved_by_datasets_read_without_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"text": ["a b", "c d", "e f"], "label": [1, 0, 1]}, features=features)
    made.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(str(tmp_path / "dict"))
    for pool in (
        load(tmp_path / "one"),
        load(tmp_path / "dict"),
        load(made),
        load(made.to_pandas().assign(label=["yes", "no", "yes"])),
    ):
        assert pool.texts == ("a b", "c d", "e f") and pool.column("label") == ["yes", "no", "yes"]
    assert len(load(tmp_path / "dict", split="test")) == 1
    assert len(load(made.select([2, 0]))) == 2 and load(made.select([2, 0])).texts == ("e f", "a b")
    assert len(load(datasets.DatasetDict({"train": made, "test": made.select([0])}), split="test")) == 1


def test_folder_of_shards_and_splits(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, texts in (("train", ["a", "b", "c", "d"]), ("test", ["e"])):
        for i, part in enumerate([texts[:2], texts[2:]]):
            pq.write_table(
                pa.table({"text": pa.array([f"{t} word" for t in part], pa.string())}),
                tmp_path / "data" / f"{split}-0000{i}-of-00002.parquet",
            )
    pool = load(tmp_path)
    assert pool.texts == ("a word", "b word", "c word", "d word")
    assert pool.table.column(SOURCE).to_pylist()[2] == "data/train-00001-of-00002.parquet:1"
    assert load(tmp_path, split="test").texts == ("e word",)


def test_split_column(tmp_path: Path) -> None:
    pool = load([{"text": f"row {i}", "split": "train" if i < 3 else "test"} for i in range(5)])
    assert len(pool) == 5 and pool.roles["split"] == "split"
    assert len(load([{"text": f"row {i}", "split": "train" if i < 3 else "test"} for i in range(5)], split="test")) == 2


def test_memory() -> None:
    pd = pytest.importorskip("pandas")
    made = [{"text": "a b", "label": 1}, {"text": "c d", "label": 2}]
    ids = {
        load(x).ids
        for x in (made, iter(made), {"text": ["a b", "c d"], "label": [1, 2]}, pd.DataFrame(made), pa.Table.from_pylist(made))
    }
    assert len(ids) == 1
    assert load(["a b", "c d"]).texts == ("a b", "c d")
    assert load(pd.DataFrame({"text": ["a b", "c d"], "mixed": [1, "x"]})).table.column("mixed").to_pylist() == ["1", "x"]


def test_empty_texts_and_missing_labels() -> None:
    pool = load(
        [{"text": "a b", "label": "x"}, {"text": " ", "label": "y"}, {"text": None, "label": "x"}, {"text": "c d", "label": ""}]
    )
    assert pool.texts == ("a b", "c d") and pool.column("label") == ["x", None]
    assert [(q.line, q.reason) for q in pool.quarantined] == [
        (2, "the text is empty (column 'text')"),
        (3, "the text is empty (column 'text')"),
    ]
    assert any("no label" in n for n in pool.lineage[0].params["notes"])
