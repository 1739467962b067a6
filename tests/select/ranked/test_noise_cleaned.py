from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.select.ranked.noise_cleaned import NoiseCleaned


def noisy(blobs) -> tuple[np.ndarray, list[str], np.ndarray]:
    X, y = blobs(200, spread=0.2)
    wrong = np.arange(0, 200, 20)
    for i in wrong:
        y[i] = "c0" if y[i] != "c0" else "c1"
    return X, y, wrong


def test_what_looks_wrong_comes_last_and_least_suspicious_first(scene, blobs) -> None:
    X, y, wrong = noisy(blobs)
    at = scene(X, y)
    made = at.rows(NoiseCleaned(share=0.05)(at.pool, at.observer, at.ctx, budget=200).kept)
    assert set(made[-10:]) == set(wrong.tolist())
    from whence.core.catalogue import build

    values, _ = build("consensus", verb="score")(at.pool, at.observer, at.ctx).aligned(at.pool.ids)
    assert (np.diff(values[made[-10:]]) >= 0).all()


def test_the_others_are_drawn_as_random_draws_them(scene, blobs) -> None:
    X, y, wrong = noisy(blobs)
    at = scene(X, y)
    one, two = (at.rows(NoiseCleaned(share=0.05)(at.pool, at.observer, at.ctx.with_seed(s), budget=60).kept) for s in (0, 1))
    assert set(one).isdisjoint(wrong.tolist()) and set(two).isdisjoint(wrong.tolist())
    assert set(one) != set(two)
    assert at.rows(NoiseCleaned(share=0.05)(at.pool, at.observer, at.ctx, budget=20).kept) == one[:20]


def test_reasons_tell_the_doubtful_from_the_undrawn(scene, blobs) -> None:
    X, y, wrong = noisy(blobs)
    at = scene(X, y)
    made = NoiseCleaned(share=0.05)(at.pool, at.observer, at.ctx, budget=60)
    said = [made.dropped[at.pool.ids[i]] for i in wrong]
    assert all(text.startswith("its label looks wrong: ") for text in said)
    assert sum(reason == "not drawn" for reason in made.dropped.values()) == 130


def test_it_needs_labels(scene, blobs) -> None:
    at = scene(blobs(30)[0])
    with pytest.raises(NotCapable):
        NoiseCleaned()(at.pool, at.observer, at.ctx, budget=3)
