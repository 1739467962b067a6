"""Every method here takes a pool and returns how good each example is by itself, before any task is looked at (`Scorer`).

Axes: what is looked at (the text, nothing) × unit. Both methods here are honest baselines: `Length`, which many learnt quality
scores turn out to follow, and `Random`, which every score must beat. Start with `Length`; a score that does not beat it has
not earned its cost.
"""
