"""Every method here takes a pool and a budget, ranks the examples by a score, and returns a slice of the ranking.

The Protocol is `whence.select.Selector`. Axes: the score x which end of it x whether classes are balanced. Papers that
prune by a difficulty score are presets of `TopScores`.

Start with `NoiseCleaned` when labels are doubtful; keep hard examples (`el2n-hard`, `prototypes-hard`) only with much clean
data, and easy ones (`prototypes-easy`) with little (Sorscher et al. 2022).
"""
