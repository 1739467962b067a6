"""Confident learning against the cleanlab package and hand-worked cases."""

import warnings

import numpy as np
import pytest

from whence.kernels import confident_learning as cl


def case(seed):
    rng = np.random.default_rng(seed)
    classes, n = int(rng.integers(2, 14)), int(rng.integers(5, 400))
    prior = rng.dirichlet(np.ones(classes) * rng.choice([0.2, 1.0, 10.0]))
    truth = rng.choice(classes, n, p=prior)  # small concentration: imbalance and absent classes
    labels = np.where(rng.random(n) < rng.choice([0.05, 0.3]), rng.integers(classes, size=n), truth)
    p = rng.dirichlet(np.ones(classes), n) * rng.choice([0.3, 1.0, 2.0])
    p[np.arange(n), truth] += rng.random(n)
    p /= p.sum(axis=1, keepdims=True)
    if seed % 3 == 0:  # many equal probabilities
        p = np.clip(np.round(p, 1), 0, 1)
    return labels, p


@pytest.fixture
def cleanlab(monkeypatch):
    """cleanlab with a stable sort, which settles the ties it leaves to the sort of the machine."""
    pytest.importorskip("cleanlab", reason="cleanlab is not installed")
    plain = np.argsort

    def stable(values, *args, **kwargs):
        kwargs.setdefault("kind", "stable")
        return plain(values, *args, **kwargs)

    monkeypatch.setattr(np, "argsort", stable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cleanlab.count
        import cleanlab.filter
        import cleanlab.internal.label_quality_utils
        import cleanlab.rank

        yield cleanlab


def test_same_flags_as_cleanlab(cleanlab):
    flagged = 0
    for seed in range(150):
        labels, p = case(seed)
        if np.unique(labels).size < 2:
            continue
        np.testing.assert_array_equal(cl.confident_joint(labels, p), cleanlab.count.compute_confident_joint(labels, p))
        expected = cleanlab.filter.find_label_issues(labels, p, n_jobs=1)
        np.testing.assert_array_equal(cl.label_issues(labels, p), expected, err_msg=f"seed {seed}")
        flagged += int(expected.sum())
        fewer = cleanlab.filter.find_label_issues(labels, p, n_jobs=1, frac_noise=0.6, min_examples_per_class=4)
        np.testing.assert_array_equal(cl.label_issues(labels, p, noise_share=0.6, min_per_class=4), fewer)
        confident = cleanlab.filter.find_label_issues(labels, p, n_jobs=1, filter_by="confident_learning")
        np.testing.assert_array_equal(cl.confident_disagreement(labels, p), confident)
    assert flagged > 1000


def test_same_scores_as_cleanlab(cleanlab):
    for seed in range(40):
        labels, p = case(seed)
        rank = cleanlab.rank
        close = {"rtol": 1e-12, "atol": 1e-12}
        np.testing.assert_allclose(cl.self_confidence(labels, p), rank.get_self_confidence_for_each_label(labels, p), **close)
        np.testing.assert_allclose(cl.normalized_margin(labels, p), rank.get_normalized_margin_for_each_label(labels, p), **close)
        np.testing.assert_allclose(
            cl.confidence_weighted_entropy(labels, p),
            rank.get_confidence_weighted_entropy_for_each_label(labels, p),
            **close,
        )
        np.testing.assert_allclose(cl.thresholds(labels, p), cleanlab.count.get_confident_thresholds(labels, p), **close)
        np.testing.assert_allclose(
            cl.adjusted_probabilities(labels, p),
            cleanlab.internal.label_quality_utils._subtract_confident_thresholds(labels, p),
            **close,
        )
        joint = cl.confident_joint(labels, p)
        np.testing.assert_array_equal(joint.sum(axis=1), np.bincount(labels, minlength=p.shape[1]))


def test_hand_worked():
    labels = np.array([0, 0, 0, 1, 1, 1])
    own = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.15, 0.85]])
    # thresholds: class 0 mean(.9, .8, .1) = .6, class 1 mean(.8, .7, .85) = .7833
    np.testing.assert_allclose(cl.thresholds(labels, own), [0.6, 2.35 / 3])
    assert cl.confident_joint(labels, own, calibrated=False).tolist() == [[2, 1], [0, 2]]
    assert cl.confident_joint(labels, own).tolist() == [[2, 1], [0, 3]]
    assert cl.label_issues(labels, own).tolist() == [False, False, True, False, False, False]
    np.testing.assert_allclose(cl.noise_matrix(np.array([[2, 1], [0, 3]])), [[1, 0.25], [0, 0.75]])
    np.testing.assert_allclose(cl.inverse_noise_matrix(np.array([[2, 1], [0, 3]])), [[2 / 3, 0], [1 / 3, 1]])


def test_equal_margins_go_by_row():
    labels = np.array([0] * 6 + [1] * 6)
    p = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 3 + [[0.1, 0.9]] * 6)
    joint = np.array([[5, 1], [0, 6]])
    assert np.flatnonzero(cl.label_issues(labels, p, joint=joint)).tolist() == [3]


def test_order_and_precision_do_not_matter():
    labels, p = case(1)
    flags = cl.label_issues(labels, p)
    shuffle = np.random.default_rng(0).permutation(labels.size)
    np.testing.assert_array_equal(cl.label_issues(labels[shuffle], p[shuffle]), flags[shuffle])
    p32 = p.astype(np.float32)
    np.testing.assert_array_equal(cl.label_issues(labels, p32), cl.label_issues(labels, p32.astype(np.float64)))


def test_finds_planted_flips():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=2000)
    labels = np.where(rng.random(2000) < 0.1, (truth + 1) % 4, truth)
    p = np.full((2000, 4), 0.05)
    p[np.arange(2000), truth] = 0.85
    np.testing.assert_array_equal(cl.label_issues(labels, p), labels != truth)


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "one per row"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "labels must be 0 to 1"),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], "whole numbers"),
        ([0, 1], [[-1.0, 2.0], [0.5, 0.5]], r"in \[0, 1\]"),
        ([0, 1], [[np.nan, 0.5], [0.5, 0.5]], r"in \[0, 1\]"),
        ([0], [[1.0]], "classes"),
    ],
)
def test_refuses(labels, p, message):
    with pytest.raises(ValueError, match=message):
        cl.label_issues(np.array(labels), np.array(p))
