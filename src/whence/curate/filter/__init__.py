"""Every method here takes a pool and returns a selection: what is kept, and a reason for each row that is not.

The Protocol is `whence.curate.Filter`. Axes: what is measured (length, symbols, repetition) x where it is cut.
Start with `Heuristics`; its presets carry the published thresholds for web text.
"""
