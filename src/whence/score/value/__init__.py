"""Every method here takes a pool and an observer and returns what each example is worth for a purpose (`Scorer`).

HIGH ALWAYS MEANS WORTH MORE, except for `Divergence`, which says so. Axes: the purpose (labels of a reference, unlabelled
examples, aligned pairs) × the learner (softmax head, neighbours, several heads) × how worth is taken apart (one step of
retraining, Shapley values, agreement).

Start with `Influence` if you have a labelled reference; use `KNNShapley` if values must add up and share credit fairly,
`TSimilarity` if part of the pool has no labels and you want to know which guesses to trust, and `Divergence` for
translations and other aligned pairs.
"""
