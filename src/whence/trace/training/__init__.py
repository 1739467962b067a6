"""Every method here takes a training pool and questions, and returns links from each question to training examples.

The Protocol is `whence.trace.Tracer`. Axes: representation (gradient of the head, embedding, words, leaves of trees) x
transform (identity, inverse curvature) x product (dot, cosine) x checkpoints; and retraining, which looks at none of these.
Weights of gradient methods are effects on the log-probability of the question's own label: positive, the example being there
helps.

Which one? `Influence` first: close to exact for a convex head, and cheap. `Datamodels` where you want an account that assumes
nothing of gradients and can wait for the retraining; its `quality` says how far to trust it. `Representer` when the logit is to
be taken apart into terms that add up. `TracIn` for what the course of training did, early epochs included. `Prototypes` to show a
few typical examples per decision. `BoostIn` when the model in question is boosted trees, `Trex` for terms that add up there.
`EmbeddingSimilarity` (with `signed`, its preset `label-similarity`) and `BM25` are the baselines that any attribution has to
beat, `GradientDot` (preset `gradient-cosine`) is what influence is without curvature, `RandomLinks` is what chance looks
like.

How well each predicts retraining: `benchmarks/trace_arena.py`.
"""
