"""Every method here takes a pool (and another, `against`) and returns links between examples that say the same.

The Protocol is `whence.curate.PairFinder`. Axes: what is compared (normalised text, word shingles, embeddings) x how
pairs are found (hash, banded MinHash, blocked matrix product). Who is kept is a decision of its own: `whence.curate.keep`.

Start with `Near`; `Exact` costs nothing and is certain; `Semantic` finds paraphrases and needs an encoder.
"""
