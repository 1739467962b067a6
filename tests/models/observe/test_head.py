from pathlib import Path

import numpy as np
import pytest

from whence.core.context import Context
from whence.core.errors import BadInput, NotCapable
from whence.core.pool import Pool
from whence.core.store import Store
from whence.models.observe import Observer


class Columns:
    """An encoder that reads two numbers out of the text, so that a test knows every embedding."""

    name, dim, fingerprint = "columns", 2, "columns-1"

    def encode(self, texts: object, ctx: Context, **_: object) -> np.ndarray:
        rows = np.array([[float(v) for v in t.split()] for t in texts], dtype=np.float32)  # type: ignore[attr-defined]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pool(n: int = 120, seed: int = 0) -> Pool:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    angle = y * 2.1 + rng.normal(0, 0.25, n)
    return Pool.from_rows(
        [
            {"text": f"{np.cos(a):.6f} {np.sin(a):.6f}", "label": "abc"[c], "n": i}
            for i, (a, c) in enumerate(zip(angle, y, strict=True))
        ],
        roles={"text": "text", "label": "label"},
    )


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(store=Store(tmp_path))


def test_head_equals_scikit_learn(ctx: Context) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    p = pool()
    observer = Observer(Columns(), ctx, head_c=3.0)
    X = observer.embeddings(p)
    twin = linear.LogisticRegression(C=3.0, tol=1e-10, max_iter=1000).fit(X.astype(float), p.labels.codes)
    np.testing.assert_allclose(observer.head(p).probs(X), twin.predict_proba(X.astype(float)), atol=2e-4)


def test_out_of_fold_probabilities_do_not_depend_on_the_order_of_the_file(ctx: Context) -> None:
    p = pool()
    order = np.random.default_rng(1).permutation(len(p))
    q = Pool.from_arrow(p.table.take(order), roles=p.roles)
    a, b = (Observer(Columns(), ctx, head_c=1.0).class_probs(x).probs for x in (p, q))
    np.testing.assert_allclose(a[order], b, atol=1e-5)


def test_out_of_fold_means_that_a_flipped_label_is_not_believed(ctx: Context) -> None:
    p = pool()
    flipped = Pool.from_rows(
        [
            {**e.fields, "label": "c" if i == 0 and e.fields["label"] != "c" else "a" if i == 0 else e.fields["label"]}
            for i, e in enumerate(p)
        ],
        roles=p.roles,
    )
    found = Observer(Columns(), ctx, head_c=1.0).class_probs(flipped)
    own = found.probs[np.arange(len(p)), found.codes]
    assert own[0] == own.min() and own[0] < 0.2


def test_penalty_is_chosen_from_the_grid_once(ctx: Context) -> None:
    from whence.models.observe.head import GRID

    p = pool()
    c = Observer(Columns(), ctx).head(p).C
    assert c in GRID and c == Observer(Columns(), ctx).head(p).C


def test_curvature_is_that_of_the_head(ctx: Context) -> None:
    p = pool(60)
    observer = Observer(Columns(), ctx, head_c=1.0)
    curve = observer.curvature(p)
    np.testing.assert_allclose(curve.P, observer.head(p).probs(observer.embeddings(p)), atol=1e-5)
    assert curve.method == "exact"


def test_refusals(ctx: Context) -> None:
    observer = Observer(Columns(), ctx)
    bare = Pool.from_rows([{"text": "1 0"}], roles={"text": "text"})
    with pytest.raises(NotCapable, match="no label column"):
        observer.head(bare)
    same = Pool.from_rows(
        [{"text": "1 0", "label": "a"}, {"text": "0 1", "label": "a"}], roles={"text": "text", "label": "label"}
    )
    with pytest.raises(NotCapable, match="two classes"):
        observer.head(same)
    holes = Pool.from_rows(
        [{"text": "1 0", "label": "a"}, {"text": "0 1", "label": None}], roles={"text": "text", "label": "label"}
    )
    with pytest.raises(NotCapable, match="1 of 2 without one"):
        observer.class_probs(holes)
    with pytest.raises(BadInput, match="head_c"):
        Observer(Columns(), ctx, head_c=0.0)


def test_labels_of_another_pool_are_renumbered(ctx: Context) -> None:
    p = Pool.from_rows([{"text": "1 0", "label": "z"}, {"text": "0 1", "label": "b"}], roles={"text": "text", "label": "label"})
    assert Observer(Columns(), ctx).codes(p, ("a", "b", "c")).tolist() == [-1, 1]
