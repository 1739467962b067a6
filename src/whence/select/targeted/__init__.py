"""Every method here takes a pool, a budget and a reference pool of the target, and returns the examples that serve it.

The Protocol is `whence.select.Selector`; every method refuses without a reference. Axes: what "serves" means (divergence,
influence, density ratio) x whether labels are looked at.

Start with the preset `influence-targeted` of `whence.select.TopScores` when there are labels, and with `GIO` when there are none.
"""
