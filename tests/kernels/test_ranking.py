"""Ranking measures against scikit-learn, SciPy and pairwise counting."""

import numpy as np
import pytest
from scipy import stats

from whence.kernels.ranking import auroc, average_precision, average_ranks, pearson, recall_at_share, spearman


def cases():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(4, 60))
        labels = rng.random(n) < 0.4
        labels[:2] = [True, False]
        yield labels, np.round(rng.standard_normal(n) + labels, int(rng.integers(0, 3)))


def test_same_as_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    for labels, scores in cases():
        assert auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores))
        assert average_precision(labels, scores) == pytest.approx(metrics.average_precision_score(labels, scores))


def test_auroc_counts_pairs():
    for labels, scores in cases():
        pairs = [(p > q) + 0.5 * (p == q) for p in scores[labels] for q in scores[~labels]]
        assert auroc(labels.astype(int), scores) == pytest.approx(np.mean(pairs))


def test_same_as_scipy():
    for labels, scores in cases():
        np.testing.assert_array_equal(average_ranks(scores), stats.rankdata(scores))
        other = scores + np.arange(scores.size) % 3
        if np.unique(scores).size > 1:
            assert spearman(scores, other) == pytest.approx(stats.spearmanr(scores, other).statistic)
            assert pearson(scores, labels) == pytest.approx(stats.pearsonr(scores, labels).statistic)


def test_recall_by_hand():
    labels, scores = [1, 0, 1, 0, 0], [5, 4, 3, 2, 1]
    assert recall_at_share(labels, scores, 0.2) == 0.5
    assert recall_at_share(labels, scores, 0.4) == 0.5
    assert recall_at_share(labels, scores, 0.41) == 1.0  # 2.05 rows, rounded up to 3
    assert recall_at_share(labels, scores, 0.6) == 1.0  # 3 rows, not 4 for 3.0000000000000004
    assert recall_at_share([1, 0, 0, 0], [1, 1, 1, 1], 0.5) == 0.5


def test_recall_with_ties_is_the_mean_over_orders():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(40) < 0.3, rng.integers(0, 4, 40)
    drawn = []
    for _ in range(4000):
        order = np.lexsort((rng.random(40), -scores))[:15]
        drawn.append(labels[order].sum() / labels.sum())
    assert recall_at_share(labels, scores, 15 / 40) == pytest.approx(np.mean(drawn), abs=0.01)


def test_undefined_is_refused():
    with pytest.raises(ValueError, match="needs both classes"):
        auroc([1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="at least one positive"):
        average_precision([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="constant"):
        spearman([1, 1, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        auroc([0, 1], [np.nan, 1.0])
    with pytest.raises(ValueError, match="share is 0"):
        recall_at_share([1, 0], [1, 2], 0)
