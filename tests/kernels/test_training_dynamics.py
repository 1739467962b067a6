"""Recorded numbers against the probabilities they come from, gradients against finite differences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from whence.kernels import training_dynamics as td
from whence.kernels.softmax_head import fit, predict_proba


def cloud(n: int = 150, d: int = 6, n_classes: int = 4, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = 1.5 * rng.standard_normal((n_classes, d))[y] + rng.standard_normal((n, d))
    return X.astype(np.float32), y


def arrays(record: td.Dynamics) -> dict[str, Any]:
    names = ("p_label", "p_other", "error_norm", "entropy", "loss", "predicted", "seen", "grad_norm")
    return {name: getattr(record, name) for name in names if getattr(record, name) is not None}


@pytest.mark.parametrize("hidden", [0, 7])
def test_record_is_what_the_probabilities_say(hidden: int) -> None:
    X, y = cloud()
    Xq, yq = cloud(40, seed=1)
    seen: dict[tuple[int, int], Any] = {}

    def keep(seed: int, epoch: int, probabilities: Any) -> None:
        seen[seed, epoch] = probabilities(X), probabilities(Xq)

    plan = td.Schedule(epochs=3, seeds=2, hidden=hidden)
    got = td.train_heads(X, y, 4, plan, rng=np.random.default_rng(0), Xq=Xq, yq=yq, after_epoch=keep)
    assert got.queries is not None
    assert len(seen) == 6
    for (seed, epoch), both in seen.items():
        for record, p, labels in zip((got.train, got.queries), both, (y, yq), strict=True):
            r = record.epoch(seed, epoch)
            rows = np.arange(len(labels))
            onehot = np.eye(4)[labels]
            np.testing.assert_allclose(r.p_label, p[rows, labels], atol=1e-6)
            np.testing.assert_allclose(r.p_other, np.where(onehot > 0, -1, p).max(axis=1), atol=1e-6)
            np.testing.assert_allclose(r.error_norm, np.linalg.norm(p - onehot, axis=1), atol=1e-6)
            np.testing.assert_allclose(r.entropy, -(p * np.log(p)).sum(axis=1), atol=1e-5)
            np.testing.assert_allclose(r.loss, -np.log(p[rows, labels]), rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(r.predicted, p.argmax(axis=1))


@pytest.mark.parametrize("hidden", [0, 5])
def test_gradients_and_their_norms_by_finite_differences(hidden: int) -> None:
    X, y = cloud(8, 3, 3)
    head = td._Head(3, 3, td.Schedule(hidden=hidden), np.random.default_rng(1))
    head.params = [p.astype(np.float64) for p in head.params]

    def losses() -> Any:
        _, z = head._forward(X.astype(np.float64))
        z = z - z.max(axis=1, keepdims=True)
        return np.log(np.exp(z).sum(axis=1)) - z[np.arange(8), y]

    per_row = []
    for p in head.params:
        flat = p.reshape(-1)
        for k in range(flat.size):
            before = flat[k]
            flat[k] = before + 1e-6
            up = losses()
            flat[k] = before - 1e-6
            down = losses()
            flat[k] = before
            per_row.append((up - down) / 2e-6)
    expected = np.array(per_row)
    record = td._empty((1, 1, 8), True).epoch(0, 0)
    hidden_values, z = head._forward(X.astype(np.float64))
    residual = head._record(X.astype(np.float64), hidden_values, z, y, np.arange(8), record)
    np.testing.assert_allclose(record.grad_norm, np.linalg.norm(expected, axis=0), rtol=1e-5)
    got = head.gradients(X.astype(np.float64), hidden_values, residual)
    np.testing.assert_allclose(np.concatenate([g.reshape(-1) for g in got]), expected.mean(axis=1), atol=1e-8)


def test_long_sgd_reaches_the_ridge_optimum() -> None:
    X, y = cloud(100, 4, 3)
    # weight decay on the mean loss is a ridge of n times as much on the summed loss
    plan = td.Schedule(epochs=600, batch_size=100, rate=0.5, optimiser="sgd", weight_decay=0.01, momentum=0.0)
    last: list[Any] = []
    td.train_heads(X, y, 3, plan, rng=np.random.default_rng(0), after_epoch=lambda s, e, f: last.append(f(X)))
    heads = fit(X.astype(np.float64), y, 3, C=1 / (100 * 0.01))
    assert np.abs(last[-1] - predict_proba(heads, X)[0]).max() < 2e-3


def test_long_adam_reaches_the_optimum_of_labels_that_cannot_be_separated() -> None:
    X, _ = cloud(100, 4, 3)
    y = np.random.default_rng(9).integers(0, 3, 100)
    plan = td.Schedule(epochs=400, batch_size=100, rate=0.05, decay="linear")
    last: list[Any] = []
    td.train_heads(X, y, 3, plan, rng=np.random.default_rng(0), after_epoch=lambda s, e, f: last.append(f(X)))
    heads = fit(X.astype(np.float64), y, 3, C=1e5)
    assert np.abs(last[-1] - predict_proba(heads, X)[0]).max() < 2e-3


def test_one_adam_step_by_hand() -> None:
    X, y = np.array([[2.0]], np.float32), np.array([0])
    plan = td.Schedule(epochs=1, batch_size=1, rate=0.1, when="visit")
    after: list[Any] = []
    got = td.train_heads(X, y, 2, plan, rng=np.random.default_rng(0), after_epoch=lambda s, e, f: after.append(f(X)))
    # the first Adam step moves every parameter by the rate against its gradient's sign: the logit gap of row x
    # grows by 0.1 * (2 * |x| + 2)
    before = got.train.p_label[0, 0, 0]
    gap = np.log(before / (1 - before))
    p = after[0][0, 0]
    assert np.log(p / (1 - p)) - gap == pytest.approx(0.1 * (2 * 2 + 2), abs=1e-4)


def test_visits_record_the_state_before_the_update() -> None:
    X, y = cloud(64)
    plan = td.Schedule(epochs=2, batch_size=64, when="visit")
    visit = td.train_heads(X, y, 4, plan, rng=np.random.default_rng(0)).train
    end = td.train_heads(X, y, 4, replace(plan, when="epoch_end"), rng=np.random.default_rng(0)).train
    # with one batch an epoch, the visit in epoch 1 sees the head that epoch 0 ended with
    np.testing.assert_allclose(visit.p_label[0, 1], end.p_label[0, 0], atol=1e-6)
    assert not np.allclose(visit.p_label[0, 0], end.p_label[0, 0], atol=1e-3)


def test_seeds_repeat_and_do_not_depend_on_their_number() -> None:
    X, y = cloud()
    plan = td.Schedule(epochs=2, seeds=3)
    a = td.train_heads(X, y, 4, plan, rng=np.random.default_rng(7)).train
    b = td.train_heads(X, y, 4, plan, rng=np.random.default_rng(7)).train
    one = td.train_heads(X, y, 4, replace(plan, seeds=1), rng=np.random.default_rng(7)).train
    for name, array in arrays(a).items():
        np.testing.assert_array_equal(array, arrays(b)[name])
        np.testing.assert_array_equal(array[:1], arrays(one)[name])
    assert not np.allclose(a.p_label[0], a.p_label[1])


@pytest.mark.parametrize("when", ["visit", "epoch_end"])
def test_chosen_rows_are_trained_on_and_no_others(when: Any) -> None:
    X, y = cloud(60)
    calls: list[tuple[int, bool]] = []

    def choose(seed: int, epoch: int, last: td.Dynamics | None, rng: np.random.Generator) -> Any:
        calls.append((epoch, last is None))
        return np.arange(0, 60, 2) if epoch == 0 else np.argsort(-last.error_norm)[:10]  # type: ignore[union-attr]

    plan = td.Schedule(epochs=3, when=when, batch_size=16)
    got = td.train_heads(X, y, 4, plan, rng=np.random.default_rng(0), choose=choose).train
    assert calls == [(0, True), (1, False), (2, False)]
    assert got.seen.sum(axis=2).tolist() == [[30, 10, 10]]
    np.testing.assert_array_equal(np.flatnonzero(got.seen[0, 1]), np.sort(np.argsort(-got.error_norm[0, 0])[:10]))
    if when == "visit":
        still = ~got.seen[0, 1]
        np.testing.assert_array_equal(got.p_label[0, 1][still], got.p_label[0, 0][still])
        assert (got.p_label[0, 0] > 0).all()


def test_rows_not_chosen_do_not_matter() -> None:
    X, y = cloud(60)
    far = X.copy()
    far[1::2] += 100

    def even(seed: int, epoch: int, last: td.Dynamics | None, rng: np.random.Generator) -> Any:
        return np.arange(0, 60, 2)

    a, b = (td.train_heads(f, y, 4, td.Schedule(epochs=3), rng=np.random.default_rng(0), choose=even).train
            for f in (X, far))
    np.testing.assert_array_equal(a.p_label[..., ::2], b.p_label[..., ::2])


def test_mislabelled_rows_stay_hard() -> None:
    X, y = cloud(300, seed=3)
    noisy = y.copy()
    noisy[:30] = (noisy[:30] + 1) % 4
    got = td.train_heads(X, noisy, 4, td.Schedule(epochs=8, seeds=2), rng=np.random.default_rng(0)).train
    hard = got.error_norm.mean(axis=(0, 1))
    assert (np.argsort(-hard)[:30] < 30).mean() > 0.6


@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": 0}, "epochs"), ({"rate": 0.0}, "rate"), ({"optimiser": "lion"}, "optimiser"),
    ({"momentum": 1.0}, "momentum"), ({"hidden": -1}, "hidden"), ({"when": "never"}, "when"),
])
def test_schedule_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        td.Schedule(**change)


def test_bad_arguments() -> None:
    X, y = cloud(20)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="together"):
        td.train_heads(X, y, 4, td.Schedule(), rng=rng, Xq=X)
    with pytest.raises(ValueError, match=r"0\.\.2"):
        td.train_heads(X, y, 3, td.Schedule(), rng=rng)
    with pytest.raises(ValueError, match="choose"):
        td.train_heads(X, y, 4, td.Schedule(), rng=rng, choose=lambda s, e, last, r: np.array([20]))
    with pytest.raises(ValueError, match="diverged"), np.errstate(all="ignore"):
        td.train_heads(X * 1e18, y, 4, td.Schedule(optimiser="sgd", rate=1e25), rng=rng)
