"""The cache of embeddings: each text once, whole shards only, the same bytes after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.store import Store
from whence.models import minilm
from whence.models.batches import Tokens
from whence.models.observe import embeddings as module
from whence.models.observe.embeddings import Shards, describe, embed, embeddings
from whence.models.sentence_model import BertSentenceModel
from whence.models.tfidf import Tfidf


class Counting:
    """An encoder whose vectors depend on their company in the batch, so that another plan shows in the bytes."""

    name, dim, batch_tokens = "counting", 4, 40

    def __init__(self, die_after: int | None = None, fingerprint: str = "counting") -> None:
        self.fingerprint, self.die_after = fingerprint, die_after
        self.texts = self.batches = 0

    def tokenise(self, texts: Sequence[str]) -> Tokens:
        sizes = [0, *(len(t) + 1 for t in texts)]
        return Tokens(np.zeros(sum(sizes), dtype=np.uint16), np.cumsum(sizes), np.array([len(t) > 30 for t in texts], dtype=bool))

    def encode_tokens(self, tokens: Tokens, rows: NDArray[np.int64], ctx: Context) -> NDArray[np.float32]:
        if self.batches == self.die_after:
            raise KeyboardInterrupt
        self.batches += 1
        self.texts += len(rows)
        sizes = tokens.lengths[rows]
        values = np.stack([sizes, sizes * 0 + len(rows), sizes * 0 + sizes.max(), sizes * 0 + 1], axis=1)
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)

    def encode(self, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
        raise AssertionError("the observable encodes tokens")


def context(folder: Path) -> Context:
    return Context(store=Store(folder), threads=1)


TEXTS = [f"{'word ' * (i % 9)}number {i}" for i in range(200)]


def test_a_text_is_encoded_once_for_ever(tmp_path: Path) -> None:
    encoder, ctx = Counting(), context(tmp_path)
    first = embed([*TEXTS, TEXTS[3]], encoder, ctx)
    assert encoder.texts == first.encoded == 200
    assert np.array_equal(first.vectors[3], first.vectors[200])
    again = embed(TEXTS[::-1], encoder, ctx)
    assert encoder.texts == 200 and again.encoded == 0
    assert np.array_equal(again.vectors, first.vectors[:200][::-1])
    changed = embed([*TEXTS[:50], "another text", *TEXTS[51:]], encoder, ctx)
    assert changed.encoded == 1 and encoder.texts == 201
    assert embed(TEXTS, Counting(fingerprint="other"), ctx).encoded == 200


def test_the_share_of_cut_texts_is_remembered(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    for _ in range(2):
        told = embed(TEXTS, Counting(), ctx)
        assert told.truncated is not None and told.truncated.tolist() == [len(t) > 30 for t in TEXTS]
    assert describe(told) == "200 texts, 0 encoded now, 44.0 % longer than the model reads"
    assert embed([], Counting(), ctx).vectors.shape == (0, 4)


@pytest.mark.parametrize("done", [1, 3, 17])
def test_an_interrupted_run_resumes_to_the_same_bytes(tmp_path: Path, done: int) -> None:
    whole = embeddings(TEXTS, Counting(), context(tmp_path / "whole"))
    ctx = context(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        embeddings(TEXTS, Counting(die_after=done), ctx)
    rest = Counting()
    assert embeddings(TEXTS, rest, ctx).tobytes() == whole.tobytes()
    assert 0 < rest.texts < 200


KILLED = """
import sys
from pathlib import Path
from tests_encoder import Counting, TEXTS, context
from whence.models.observe import embeddings as module
import time
module.FLUSH_SECONDS = 0.0
class Slow(Counting):
    def encode_tokens(self, tokens, rows, ctx):
        time.sleep(0.02)
        return super().encode_tokens(tokens, rows, ctx)
module.embeddings(TEXTS, Slow(), context(Path(sys.argv[1])))
"""


def spawn(tmp_path: Path, folder: Path) -> subprocess.Popen[bytes]:
    (tmp_path / "tests_encoder.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    source = Path(module.__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{tmp_path}"}
    return subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=environment)


@pytest.mark.slow
def test_a_killed_process_loses_only_what_it_was_doing(tmp_path: Path) -> None:
    whole = embeddings(TEXTS, Counting(), context(tmp_path / "whole"))
    folder = tmp_path / "parts"
    process = spawn(tmp_path, folder)
    shards = Shards(folder / "embeddings" / "counting", 4)
    until = time.monotonic() + 60
    while len(shards._folders()) < 3 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = Counting()
    assert embeddings(TEXTS, rest, context(folder)).tobytes() == whole.tobytes()
    assert 0 < rest.texts < 200


@pytest.mark.slow
def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    whole = embeddings(TEXTS, Counting(), context(tmp_path / "whole"))
    folder = tmp_path / "both"
    both = [spawn(tmp_path, folder), spawn(tmp_path, folder)]
    assert [p.wait(120) for p in both] == [0, 0]
    encoder = Counting()
    assert embeddings(TEXTS, encoder, context(folder)).tobytes() == whole.tobytes()
    assert encoder.texts == 0


@pytest.mark.parametrize("harm", ["cut", "flip", "note", "header", "gone", "half"])
def test_a_damaged_shard_is_passed_over(tmp_path: Path, harm: str) -> None:
    ctx = context(tmp_path)
    whole = embeddings(TEXTS, Counting(), ctx)
    (shard,) = Shards(tmp_path / "embeddings" / "counting", 4)._folders()
    vectors = shard / "vectors.npy"
    data = bytearray(vectors.read_bytes())
    if harm == "cut":
        vectors.write_bytes(data[:-8])
    elif harm == "flip":
        data[-20] ^= 1
        vectors.write_bytes(data)
    elif harm == "note":
        (shard / "note.json").write_text("{")
    elif harm == "header":
        (shard / "keys.npy").write_bytes(b"nonsense")
    elif harm == "gone":
        vectors.unlink()
    else:
        shard.rename(shard.with_name(f".{shard.name}.tmp"))
    encoder = Counting()
    assert embeddings(TEXTS, encoder, ctx).tobytes() == whole.tobytes()
    assert encoder.texts == 200


def test_many_small_shards_become_one(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    for i in range(60):
        embeddings([TEXTS[i]], Counting(), ctx)
    shards = Shards(tmp_path / "embeddings" / "counting", 4)
    assert len(shards._folders()) < 20
    encoder = Counting()
    embeddings(TEXTS[:60], encoder, ctx)
    assert encoder.texts == 0


def test_an_encoder_fitted_on_the_pool_is_cached_for_that_pool(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    first = embed(TEXTS, Tfidf(dim=8), ctx)
    assert first.encoded == 200 and first.truncated_share is None and describe(first) == "200 texts, 200 encoded now"
    assert embed(TEXTS, Tfidf(dim=8), ctx).encoded == 0
    assert embed(TEXTS[:-1], Tfidf(dim=8), ctx).encoded == 199
    np.testing.assert_array_equal(first.vectors, Tfidf(dim=8).encode(TEXTS, ctx))


def test_a_fitted_encoder_is_cached_by_text(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    fitted = Tfidf(dim=8).fit(TEXTS, ctx)
    assert np.array_equal(embed(TEXTS[:50], fitted, ctx).vectors, fitted.encode(TEXTS[:50], ctx))
    more = embed(TEXTS[:60], fitted, ctx)
    assert more.encoded == 10 and more.truncated is None


def test_minilm_through_the_cache_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    folder = minilm.packaged()
    if folder is None:
        pytest.skip(f"{minilm.PACKAGE} is not installed")
    encoder = BertSentenceModel(folder, name="minilm", device="cpu", max_tokens=32)
    encoder.batch_tokens = 64
    texts = TEXTS[:60]
    whole = embeddings(texts, encoder, context(tmp_path / "whole"))
    encode, left = encoder.encode_tokens, 5

    def dying(tokens: Tokens, rows: NDArray[np.int64], ctx: Context) -> NDArray[np.float32]:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        return encode(tokens, rows, ctx)

    ctx = context(tmp_path / "parts")
    encoder.encode_tokens = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        embeddings(texts, encoder, ctx)
    encoder.encode_tokens = encode  # type: ignore[method-assign]
    resumed = embed(texts, encoder, ctx)
    assert resumed.vectors.tobytes() == whole.tobytes() and 0 < resumed.encoded < 60
