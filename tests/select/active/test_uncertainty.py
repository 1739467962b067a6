from __future__ import annotations

import numpy as np
import pytest

from whence.core.catalogue import build
from whence.select.active.uncertainty import Uncertainty, doubt


@pytest.mark.parametrize(
    ("measure", "values"),
    [
        ("entropy", [0.0, np.log(2), np.log(4), -(0.6 * np.log(0.6) + 2 * 0.2 * np.log(0.2))]),
        ("margin", [0.0, 1.0, 1.0, 0.6]),
        ("least-confident", [0.0, 0.5, 0.75, 0.4]),
    ],
)
def test_by_hand(measure: str, values: list[float]) -> None:
    p = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0.2, 0.6, 0.2, 0]])
    np.testing.assert_allclose(doubt(p, measure), values, atol=1e-12)


def between(scene, k: int = 5):
    """Two labelled poles; unlabelled points at growing angles from the first one."""
    angles = np.concatenate([[0.0] * 4, [90.0] * 4, [2.0, 20, 44, 70, 88]]) * np.pi / 180
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return scene(X, ["a"] * 4 + ["b"] * 4 + [None] * 5)


@pytest.mark.parametrize("name", ["uncertainty", "margin-queries", "least-confident"])
def test_the_point_between_comes_first(scene, name: str) -> None:
    at = between(scene)
    made = build(name, verb="select")(at.pool, at.observer, at.ctx, budget=5)
    assert at.rows(made.kept)[0] == 10 and set(at.rows(made.kept)[1:3]) == {9, 11}


def test_reasons_give_the_value(scene) -> None:
    at = between(scene)
    made = Uncertainty()(at.pool, at.observer, at.ctx, budget=4)
    (left,) = [r for r in made.dropped.values() if r != "labelled already"]
    assert left.startswith("entropy 0.") and left.endswith("is lower than that of the chosen")
