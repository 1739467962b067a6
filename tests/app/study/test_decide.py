import numpy as np

from whence.app.study.decide import least_drastic


def right(*shares: float, n: int = 1000) -> np.ndarray:
    """Plans that get the first rows right, so that the paired difference of two plans is known."""
    return np.array([np.arange(n) < round(s * n) for s in shares])


def test_keep_everything_unless_something_is_better() -> None:
    r = right(0.9, 0.9, 0.85)
    assert least_drastic(r.mean(axis=1).tolist(), r, [0, 10, 20]) == 0


def test_the_best_plan_when_the_others_are_clearly_worse() -> None:
    r = right(0.80, 0.81, 0.90)
    assert least_drastic(r.mean(axis=1).tolist(), r, [0, 10, 200]) == 2


def test_within_one_standard_error_the_plan_that_drops_least() -> None:
    # plan 2 is ahead of plan 1 by one row of 1,000: standard error sqrt(0.001 * 0.999 / 999) = 0.001
    r = right(0.80, 0.899, 0.900)
    assert least_drastic(r.mean(axis=1).tolist(), r, [0, 10, 200]) == 1
