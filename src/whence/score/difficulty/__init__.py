"""Every method here takes a labelled pool and an observer and returns how hard each example is to learn (`Scorer`).

Axes: observable (the training of a small network on frozen embeddings; or the text alone) × statistic (error norm, gradient
norm, probability, margin, transitions) × aggregation (which epoch, or the mean or spread over epochs; mean over seeds).

Start with `EL2N`; use `Forgetting` or `LearningOrder` if only right and wrong matter, `Confidence` with `Variability` for the
map of easy, ambiguous and hard examples, `Margin` or `Agreement` if the hardest examples may be mislabelled, and
`LocalStructure` if there are no labels but outputs that are put together from parts.
"""
