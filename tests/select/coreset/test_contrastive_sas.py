from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.pool import Pool
from whence.core.store import Store
from whence.models.observe import Observer
from whence.select.coreset.contrastive_sas import ContrastiveSAS, dropped_words, greedy_cut


class Words:
    """A text is the sum of its words' directions."""

    name, fingerprint, dim = "words", "words-32", 32

    def encode(self, texts: Sequence[str], ctx: Context) -> np.ndarray:
        out = np.zeros((len(texts), 32), np.float32)
        for i, text in enumerate(texts):
            for word in text.split():
                out[i] += ctx.with_seed(0).rng(word).standard_normal(32)
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def test_greedy_is_brute_force() -> None:
    M = np.random.default_rng(0).standard_normal((14, 3))
    S = M @ M.T
    chosen: list[int] = []

    def value(rows: list[int]) -> float:
        rest = np.setdiff1d(np.arange(14), rows)
        return float(S[np.ix_(rows, rest)].sum())

    for _ in range(6):
        gains = [value([*chosen, j]) - value(chosen) if j not in chosen else -np.inf for j in range(14)]
        chosen.append(int(np.argmax(gains)))
    assert greedy_cut(M, 6).tolist() == chosen


def test_the_middle_comes_before_the_edge() -> None:
    angles = np.array([0.0, 10, -10, 80]) * np.pi / 180
    assert greedy_cut(np.stack([np.cos(angles), np.sin(angles)], 1), 4).tolist()[0] == 1
    # similarity to (0, 10, -10, 80 degrees): 0.985 + 0.940 + 0.342 for the row at 10, 0.985 + 0.985 + 0.174 for that at 0


def test_words_are_dropped_but_never_all() -> None:
    rng = np.random.default_rng(0)
    text = " ".join(f"w{i}" for i in range(200))
    kept = dropped_words(text, 0.3, rng).split()
    assert 110 < len(kept) < 170 and kept == [w for w in text.split() if w in set(kept)]
    assert dropped_words("alone", 0.99, rng) == "alone" and dropped_words("", 0.5, rng) == ""
    assert dropped_words(text, 0.0, rng) == text


@pytest.fixture
def spoken(tmp_path) -> tuple[Pool, Observer, Context]:
    rng = np.random.default_rng(0)
    kinds = {"cat": "fur claw purr tail milk", "car": "wheel road engine brake fuel"}
    rows = [{"text": " ".join(rng.permutation(words.split())[:4]) + f" {name} n{i}", "label": name}
            for i in range(12) for name, words in kinds.items()]
    rows += [{"text": f"zebra{i} quartz{i} opera{i}", "label": "cat"} for i in range(4)]
    ctx = Context(seed=0, threads=1, store=Store(tmp_path))
    return Pool.from_rows(rows, roles={"text": "text", "label": "label"}), Observer(Words(), ctx), ctx


def test_examples_unlike_their_class_are_left_out(spoken) -> None:
    pool, observer, ctx = spoken
    made = ContrastiveSAS(by_label=True)(pool, observer, ctx, budget=14)
    assert {i for i in pool.positions(made.kept[:8]) if i >= 24} == set()
    labels = np.array(pool.column("label"))[pool.positions(made.kept)]
    assert (labels == "cat").sum() == 8 and (labels == "car").sum() == 6, "16 and 12 of 28"


def test_clusters_stand_in_for_labels(spoken) -> None:
    pool, observer, ctx = spoken
    bare = Pool(pool.table, {"text": "text"})
    assert len(ContrastiveSAS(clusters=3)(bare, observer, ctx, budget=10).kept) == 10
    with pytest.raises(NotCapable):
        ContrastiveSAS(by_label=True)(bare, observer, ctx, budget=3)
