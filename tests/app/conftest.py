"""Small made data, a way to run the command line in this process, and one study that many tests look at."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]


def words_of(text: str) -> list[str]:
    return text.split()


#: Settings that keep a study of made data within a second or two.
SMALL = ("--encoder", "tfidf", "--seeds", "1", "--retrains", "10", "--budgets", "0.1,0.5,1", "--quiet")
TOPICS = {
    "sport": words_of("match goal team player league season coach striker defence stadium cup referee ball score win"),
    "food": words_of("soup recipe oven butter garlic pepper dish flavour kitchen bake sauce onion bread plate taste"),
    "space": words_of(
        "orbit rocket planet moon probe telescope star launch gravity astronaut comet mission crater lander signal"
    ),
}
FILLER = words_of("the a of this very quite often with and then people said during after before new old some")


def made_rows(n: int, seed: int = 0) -> list[Row]:
    """`n` rows of three classes, each three words of its topic, two of another and some filler; no two are alike."""
    rng = random.Random(seed)
    names = list(TOPICS)
    rows = []
    for i in range(n):
        own, other = names[i % 3], names[(i + 1) % 3]
        words = [*rng.choices(TOPICS[own], k=3), *rng.choices(TOPICS[other], k=2), *rng.choices(FILLER, k=9)]
        rng.shuffle(words)
        rows.append({"text": " ".join(words), "label": own})
    return rows


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_cli(*args: object) -> Answer:
    """The command line in this process, with what it printed."""
    from whence.app.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in args])
        except SystemExit as end:
            code = end.code
    return Answer(0 if code is None else code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def whence() -> Callable[..., Answer]:
    return run_cli


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[Row]]:
    return made_rows


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    return SMALL


@dataclass(frozen=True)
class Planted:
    """Data with known problems: ids are not known before reading, so rows are named by their text."""

    train: Path
    test: Path
    flipped: frozenset[str]
    copied: frozenset[str]
    leaked: frozenset[str]


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """240 training rows, 12 under a wrong label, 6 twice; 60 test rows, 2 under a wrong label, 4 in the training data."""
    folder = tmp_path_factory.mktemp("planted")
    train, test = made_rows(230), made_rows(60, seed=1)
    for row in test[:2]:
        row["label"] = next(n for n in TOPICS if n != row["label"])
    flipped = train[5:65:5]
    for row in flipped:
        row["label"] = next(n for n in TOPICS if n != row["label"])
    copied = [dict(row) for row in train[100:106]]
    leaked = [dict(row) for row in test[10:14]]
    return Planted(
        write_jsonl(folder / "train.jsonl", [*train, *copied, *leaked]),
        write_jsonl(folder / "test.jsonl", test),
        frozenset(r["text"] for r in flipped),
        frozenset(r["text"] for r in copied),
        frozenset(r["text"] for r in leaked),
    )


@pytest.fixture(scope="session")
def cache(shared_cache: Path) -> Iterator[Path]:
    """The tests' own cache for fixtures that live as long as the session."""
    before = os.environ.get("WHENCE_CACHE")
    os.environ["WHENCE_CACHE"] = str(shared_cache)
    yield shared_cache
    os.environ.pop("WHENCE_CACHE") if before is None else os.environ.update(WHENCE_CACHE=before)


@dataclass(frozen=True)
class Ran:
    folder: Path
    args: tuple[str, ...]
    answer: Answer


@pytest.fixture(scope="session")
def studied(planted: Planted, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One study of the planted data, for tests that read what it left and change nothing."""
    folder = tmp_path_factory.mktemp("studied") / "run"
    args = ("study", str(planted.train), "--test", str(planted.test), "-o", str(folder), *SMALL, "--json")
    answer = run_cli(*args)
    assert answer.code == 0, answer.err
    return Ran(folder, args, answer)
