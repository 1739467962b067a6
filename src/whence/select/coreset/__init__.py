"""Every method here takes a pool and a budget and returns that many examples which stand for the rest, in order of choice.

The Protocol is `whence.select.Selector`. Axes: gain (cover, mean, nothing) x diversity x whether labels are balanced.

Start with `Random`: below a quarter of the data little beats it with certainty. Use `FacilityLocation` where every region
should have its representative, `KCenter` where outliers matter, `Herding` where the average should be kept.
`ContrastiveSAS` is for contrastive pre-training alone.
"""
