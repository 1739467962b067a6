"""Exact neighbours against a float64 brute force, with copies and near-ties."""

import numpy as np
import pytest

from whence.kernels.neighbors import label_agreement, nearest


def brute(q, b, k, metric, exclude_self):
    q, b = q.astype(np.float64), b.astype(np.float64)
    if metric == "cosine":
        norms = [np.linalg.norm(m, axis=1, keepdims=True) for m in (q, b)]
        q, b = (np.divide(m, s, out=np.zeros_like(m), where=s > 0) for m, s in zip((q, b), norms, strict=True))
        value = q @ b.T
    else:
        value = -np.sqrt(((q[:, None] - b[None]) ** 2).sum(-1))
    if exclude_self:
        np.fill_diagonal(value, -np.inf)
    value = np.round(value, 12)
    rows = np.argsort(-value, axis=1, kind="stable")[:, :k]
    return rows, np.abs(np.take_along_axis(value, rows, axis=1)) if metric == "euclidean" else np.take_along_axis(
        value, rows, axis=1
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_equals_brute_force(metric, dtype, exclude_self):
    rng = np.random.default_rng(0)
    b = rng.standard_normal((900, 20)).astype(dtype)
    q = b if exclude_self else rng.standard_normal((300, 20)).astype(dtype)
    rows, values = nearest(q, b, 12, metric=metric, exclude_self=exclude_self)
    expected, expected_values = brute(q, b, 12, metric, exclude_self)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(values, expected_values, atol=1e-11)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_copies_go_by_row_number(metric):
    x = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
    base = np.tile(x, (50, 1))  # 50 copies of each: more than the spare candidates
    rows, _ = nearest(x, base, 10, metric=metric)
    np.testing.assert_array_equal(rows, np.arange(4)[:, None] + 4 * np.arange(10))
    rows, _ = nearest(base, base, 3, metric=metric, exclude_self=True)
    assert rows[0].tolist() == [4, 8, 12]
    assert rows[8].tolist() == [0, 4, 12]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_near_ties_below_float32(metric):
    rng = np.random.default_rng(2)
    base = np.ones((400, 16)) + 1e-9 * rng.standard_normal((400, 16))
    if metric == "euclidean":
        base += 100.0
    query = np.ones((3, 16)) * (101.0 if metric == "euclidean" else 1.0) + 1e-6 * rng.standard_normal((3, 16))
    rows, _ = nearest(query, base, 5, metric=metric)
    exact = ((query[:, None] - base[None]) ** 2).sum(-1)
    if metric == "euclidean":
        np.testing.assert_array_equal(rows, np.argsort(exact, axis=1, kind="stable")[:, :5])
    else:
        unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (query, base)]
        value = unit[0] @ unit[1].T
        assert (np.take_along_axis(value, rows, axis=1) >= np.sort(value, axis=1)[:, [-5]] - 1e-15).all()


def test_many_blocks():
    rng = np.random.default_rng(3)
    base, query = rng.standard_normal((9000, 4)).astype(np.float32), rng.standard_normal((600, 4)).astype(np.float32)
    rows, _ = nearest(query, base, 3, metric="euclidean")
    at = rng.choice(600, 20, replace=False)
    exact = ((query[at, None].astype(np.float64) - base[None].astype(np.float64)) ** 2).sum(-1)
    np.testing.assert_array_equal(rows[at], np.argsort(exact, axis=1, kind="stable")[:, :3])


def test_every_row_asked_for():
    x = np.array([[0.0], [3.0], [1.0]])
    rows, values = nearest(x, x, 2, metric="euclidean", exclude_self=True)
    assert rows.tolist() == [[2, 1], [2, 0], [0, 1]]
    assert values.tolist() == [[1.0, 3.0], [2.0, 3.0], [1.0, 2.0]]


def test_label_agreement():
    neighbors = np.array([[1, 2], [0, 2], [0, 1]])
    assert label_agreement(neighbors, ["a", "a", "b"]).tolist() == [0.5, 0.5, 0.0]
    assert label_agreement(neighbors[:1], ["a", "a", "b"], own=["b"]).tolist() == [0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"k": 0}, "k is 0"), ({"k": 3, "exclude_self": True}, "k is 3"), ({"k": 1, "metric": "dot"}, "legal: cosine")],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest(np.eye(3), np.eye(3), **arguments)
    with pytest.raises(ValueError, match="features"):
        nearest(np.ones((2, 3)), np.ones((2, 4)), 1)
