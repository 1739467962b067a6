"""Every method here takes a pool and an observer and returns how unlike its pool, or a reference, each example is (`Scorer`).

HIGH ALWAYS MEANS UNUSUAL in this family. Without a `reference` an example is held against the rest of its own pool and never
against itself; with one, the reference is the training data and the pool is what is asked about. Axes: what is compared
(prototypes, the own class, neighbours, the head's logits, reconstruction) × is a label needed × own pool or reference.

Start with `KNNDistance`, which needs no labels; use `PrototypeDistance` to prune by, `ClassCentroid` if odd means odd for its
class, `MSP` or `Energy` if a head on labels is what will be deployed and its mistakes are to be refused, `Sage` for both at
once, and `Representation` to order examples of a labelled pool from prototypes to outliers.
"""
