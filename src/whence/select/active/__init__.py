"""Every method here takes a partly labelled pool and a budget, and returns that many unlabelled examples to label next.

The Protocol is `whence.select.Selector`; the order is the order to label in. An example without a label (null) can be
chosen; a labelled one teaches the head and is never chosen, so the budget is at most the number of unlabelled ones. Axes:
what is sought (doubt, a rare class, unknown ground) x whether the unlabelled examples teach too x whether outliers are a class.

Start with `Uncertainty`; use `RareClass` to find more of a class that hardly occurs, and the preset `core-set` of
`whence.select.KCenter` where labels are too few to train on.
"""
