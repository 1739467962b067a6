from __future__ import annotations

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.kernels.ranking import auroc
from whence.score.typicality.sage import Sage, combined_probability, empirical_probability, principal, residual


def test_empirical_probabilities_by_hand() -> None:
    known = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(empirical_probability(known, np.array([0.0, 3.0, 9.0])), [1.0, 3 / 5, 1 / 5])
    np.testing.assert_allclose(combined_probability([known, known], [np.array([0.0]), np.array([9.0])]), [np.sqrt(0.2)])


def test_a_row_in_the_plane_of_the_axes_is_reconstructed() -> None:
    X = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    axes = principal(X, 2)
    np.testing.assert_allclose(residual(np.array([[5.0, -2, 0], [1, 1, 3]]), *axes), [0, 3], atol=1e-12)


def test_foreign_rows_are_unlike_the_reference(make_world) -> None:
    shown, other = make_world(n=200, wrong=0.0), make_world(n=210, classes=5, wrong=0.0, seed=1)
    vectors = {**shown.observer.encoder.vectors, **other.observer.encoder.vectors}
    observer = type(shown.observer)(type(shown.observer.encoder)(vectors, 12), shown.ctx)
    found = Sage(components=3)(other.pool, observer, shown.ctx, reference=shown.pool).values
    assert auroc(other.pool.labels.codes >= 3, found) > 0.9


def test_a_handful_is_refused(pool_of) -> None:
    pool, observer, ctx = pool_of(np.eye(4, dtype=np.float32), ["a", "b", "a", "b"], "sage")
    with pytest.raises(NotCapable, match="10 or more"):
        Sage()(pool, observer, ctx)
