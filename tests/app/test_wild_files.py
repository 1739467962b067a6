"""Labelled files as people have them: `whence study FILE` needs no hint but the name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Row = dict[str, Any]
N = 90


def words_of(text: str) -> list[str]:
    return text.split()


def made(seed: int = 0) -> list[tuple[str, str]]:
    """(text, class) pairs with the length of a headline."""
    rng = random.Random(seed)
    words = {
        "business": ["shares", "profit", "bank", "market", "deal", "merger", "oil", "price", "growth", "euro"],
        "science": ["study", "planet", "gene", "cell", "fossil", "climate", "laser", "vaccine", "robot", "theory"],
        "arts": ["film", "novel", "stage", "singer", "gallery", "premiere", "award", "poet", "museum", "drama"],
    }
    plain = words_of("new first after report says over more will year big plan old team city group")
    return [
        (" ".join([*rng.choices(words[c], k=3), *rng.choices(plain, k=5)]).capitalize() + f" {i}", c)
        for i in range(N)
        for c in [sorted(words)[i % 3]]
    ]


def as_csv(rows: list[Row], **how: Any) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator=how.pop("end", "\n"), **how)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_jsonl(rows: list[Row]) -> str:
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def headlines() -> list[Row]:
    return [{"headline": t, "topic": c} for t, c in made()]


def comments() -> list[Row]:
    return [
        {"CommentId": 1000 + i, "Author": f"user{i * 7}", "Comment": t, "is_spam": int(c == "arts")}
        for i, (t, c) in enumerate(made())
    ]


def tickets() -> list[Row]:
    return [
        {
            "Ticket ID": f"T-{i:05}",
            "Created At": f"2024-03-{1 + i % 28:02} 10:{i % 60:02}:00",
            "Message Body": t,
            "Category": c.title(),
            "Minutes": 3 * i % 47,
        }
        for i, (t, c) in enumerate(made())
    ]


def reviews() -> list[Row]:
    return [
        {
            "review_id": f"R{i}",
            "stars": 1 + i % 5,
            "review_body": t,
            "helpful_votes": i % 13,
            "verified": bool(i % 2),
            "meta": {"asin": f"B{i % 9}", "tags": ["a", "b"][: i % 3]},
        }
        for i, (t, c) in enumerate(made())
    ]


def logs() -> list[Row]:
    return [
        {
            "timestamp": 1_700_000_000 + 37 * i,
            "utterance": t,
            "intent": f"{c}_query",
            "confidence": round((i * 37 % 100) / 101, 4),
            "lang": "en",
        }
        for i, (t, c) in enumerate(made())
    ]


def nli() -> list[Row]:
    return [{"premise": t, "hypothesis": made(1)[i][0], "label": i % 3, "idx": i} for i, (t, c) in enumerate(made())]


def parquet_codes(path: Path) -> None:
    rows = made()
    names = sorted({c for _, c in rows})
    meta = {
        "info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": names, "_type": "ClassLabel"}}}
    }
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())], metadata={b"huggingface": json.dumps(meta).encode()})
    pq.write_table(pa.table({"text": [t for t, _ in rows], "label": [names.index(c) for _, c in rows]}, schema=schema), path)


def dictionary_parquet(path: Path) -> None:
    rows = made()
    pq.write_table(
        pa.table({"Sentence": [t for t, _ in rows], "Emotion": pa.array([c for _, c in rows]).dictionary_encode()}), path
    )


def text_file(content: str, encoding: str = "utf-8", newline: str = "") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content.encode(encoding))

    return write


def packed(content: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(content.encode()))
        else:
            zstandard = pytest.importorskip("zstandard")
            path.write_bytes(zstandard.ZstdCompressor().compress(content.encode()))

    return write


def saved_dataset(path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = made()
    features = datasets.Features(
        {"content": datasets.Value("string"), "section": datasets.ClassLabel(names=sorted({c for _, c in rows}))}
    )
    datasets.Dataset.from_dict(
        {"content": [t for t, _ in rows], "section": [c for _, c in rows]}, features=features
    ).save_to_disk(str(path))


def quoted(rows: list[Row]) -> list[Row]:
    """Texts with line breaks, quotes and commas in them."""
    return [{**r, "headline": r["headline"].replace(" ", ',\n"so" ', 1)} for r in rows]


# what it is, file name, how it is written, text column, label column, classes
FILES: list[tuple[str, str, Callable[[Path], None], str, str, int]] = [
    ("headlines", "headlines.csv", text_file(as_csv(headlines())), "headline", "topic", 3),
    (
        "label first",
        "news.csv",
        text_file(as_csv([{"topic": r["topic"], "headline": r["headline"]} for r in headlines()])),
        "headline",
        "topic",
        3,
    ),
    ("semicolons", "euro.csv", text_file(as_csv(headlines(), delimiter=";")), "headline", "topic", 3),
    ("all quoted, CRLF", "excel.csv", text_file(as_csv(headlines(), quoting=csv.QUOTE_ALL, end="\r\n")), "headline", "topic", 3),
    ("byte-order mark", "bom.csv", text_file(as_csv(headlines()), "utf-8-sig"), "headline", "topic", 3),
    ("line breaks in quotes", "broken.csv", text_file(as_csv(quoted(headlines()))), "headline", "topic", 3),
    (
        "accents and emoji",
        "unicode.csv",
        text_file(as_csv([{**r, "headline": "Čerň 🎈 " + r["headline"]} for r in headlines()])),
        "headline",
        "topic",
        3,
    ),
    ("pipes", "pipes.txt.csv", text_file(as_csv(headlines(), delimiter="|")), "headline", "topic", 3),
    ("tabs", "news.tsv", text_file(as_csv(headlines(), delimiter="\t")), "headline", "topic", 3),
    ("tabs without a header", "plain.tsv", text_file("".join(f"{c}\t{t}\n" for t, c in made())), "text", "label", 3),
    ("spam", "comments.csv", text_file(as_csv(comments())), "Comment", "is_spam", 2),
    ("tickets", "tickets.csv", text_file(as_csv(tickets())), "Message Body", "Category", 3),
    ("stars", "reviews.jsonl", text_file(as_jsonl(reviews())), "review_body", "stars", 5),
    ("intents", "logs.jsonl", text_file(as_jsonl(logs())), "utterance", "intent", 3),
    ("pairs", "nli.jsonl", text_file(as_jsonl(nli())), "premise", "label", 3),
    (
        "true or false",
        "toxic.jsonl",
        text_file(as_jsonl([{"id": i, "comment_text": t, "toxic": c == "arts"} for i, (t, c) in enumerate(made())])),
        "comment_text",
        "toxic",
        2,
    ),
    ("a JSON array", "array.json", text_file(json.dumps(headlines(), indent=1)), "headline", "topic", 3),
    ("JSON under a key", "wrapped.json", text_file(json.dumps({"version": 2, "data": headlines()})), "headline", "topic", 3),
    ("gzip", "news.csv.gz", packed(as_csv(headlines())), "headline", "topic", 3),
    ("zstd", "news.jsonl.zst", packed(as_jsonl(headlines())), "headline", "topic", 3),
    ("class codes", "coded.parquet", parquet_codes, "text", "label", 3),
    ("a dictionary column", "dictionary.parquet", dictionary_parquet, "Sentence", "Emotion", 3),
    ("a saved data set", "saved", saved_dataset, "content", "section", 3),
    (
        "pandas index",
        "pandas.csv",
        text_file(as_csv([{"": i, "tweet": r["headline"], "class": r["topic"]} for i, r in enumerate(headlines())])),
        "tweet",
        "class",
        3,
    ),
    (
        "german",
        "german.csv",
        text_file(as_csv([{"Überschrift": r["headline"], "Rubrik": r["topic"]} for r in headlines()])),
        "Überschrift",
        "Rubrik",
        3,
    ),
    (
        "text and target",
        "kaggle.csv",
        text_file(
            as_csv(
                [
                    {"id": i, "keyword": "", "location": "", "text": r["headline"], "target": i % 2}
                    for i, r in enumerate(headlines())
                ]
            )
        ),
        "text",
        "target",
        2,
    ),
    (
        "medical",
        "abstracts.csv",
        text_file(
            as_csv([{"medical_abstract": r["headline"] * 4, "condition_label": 1 + i % 5} for i, r in enumerate(headlines())])
        ),
        "medical_abstract",
        "condition_label",
        5,
    ),
    (
        "title and text",
        "bbc.tsv",
        text_file(
            as_csv(
                [
                    {"category": r["topic"], "filename": f"{i:03}.txt", "title": r["headline"], "content": r["headline"] * 5}
                    for i, r in enumerate(headlines())
                ],
                delimiter="\t",
            )
        ),
        "content",
        "category",
        3,
    ),
    (
        "title and description",
        "agnews.csv",
        text_file(
            as_csv(
                [
                    {"Class Index": 1 + i % 4, "Title": r["headline"], "Description": r["headline"][::-1] * 3}
                    for i, r in enumerate(headlines())
                ]
            )
        ),
        "Description",
        "Class Index",
        4,
    ),
    (
        "v1 and v2",
        "sms.csv",
        text_file(as_csv([{"v1": ("ham", "spam")[i % 3 == 0], "v2": r["headline"]} for i, r in enumerate(headlines())])),
        "v2",
        "v1",
        2,
    ),
    (
        "airline",
        "tweets.csv",
        text_file(
            as_csv(
                [
                    {
                        "tweet_id": 5e17 + i,
                        "airline_sentiment": ("negative", "neutral", "positive")[i % 3],
                        "airline": ("United", "Delta")[i % 2],
                        "retweet_count": i % 4,
                        "text": r["headline"],
                    }
                    for i, r in enumerate(headlines())
                ]
            )
        ),
        "text",
        "airline_sentiment",
        3,
    ),
]


@pytest.mark.parametrize(("name", "write", "text", "label", "classes"), [k[1:] for k in FILES], ids=[k[0] for k in FILES])
def test_no_hint_is_needed(
    whence: Callable[..., Any], tmp_path: Path, name: str, write: Callable[[Path], None], text: str, label: str, classes: int
) -> None:
    write(tmp_path / name)
    answer = whence("study", tmp_path / name, "--dry-run", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert (found["roles"]["text"], found["roles"]["label"]) == (text, label)
    assert found["train"] == N and found["quarantined"] == 0
    assert len(found["classes"]) == classes and sum(found["classes"].values()) == N


@pytest.mark.parametrize("kind", ["tickets", "line breaks in quotes", "pairs", "class codes", "a saved data set", "stars"])
def test_a_study_runs_to_its_end(whence: Callable[..., Any], small: tuple[str, ...], tmp_path: Path, kind: str) -> None:
    name, write, _, label, classes = next(k[1:] for k in FILES if k[0] == kind)
    write(tmp_path / name)
    answer = whence("study", tmp_path / name, "-o", tmp_path / "run", *small, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["classes"] == classes and answer.json["train"] + answer.json["proof"] == N
    kept = [json.loads(line) for line in (tmp_path / "run" / "kept.jsonl").read_text().splitlines()]
    assert all(label in row for row in kept)


def test_the_test_file_may_come_in_another_format(whence: Callable[..., Any], small: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(as_csv(headlines()))
    test = [{"label": c, "text": t} for t, c in made(5)]
    (tmp_path / "test.jsonl").write_text(as_jsonl(test))
    answer = whence("study", tmp_path / "train.csv", "--test", tmp_path / "test.jsonl", "-o", tmp_path / "run", *small, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["proof"] == N == answer.json["train"]


def test_a_windows_file_is_refused_with_the_way_out(whence: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "win.csv").write_bytes(
        as_csv([{**r, "headline": "café – " + r["headline"]} for r in headlines()]).encode("cp1252")
    )
    answer = whence("study", tmp_path / "win.csv")
    assert answer.code == 2 and "iconv" in answer.err and "windows-1252" in answer.err
