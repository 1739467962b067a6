"""Every method here takes a training pool and questions, and returns links from each question to training examples.

The Protocol is `whence.trace.Tracer`. Axes: representation (gradient of the head, embedding, words) x transform
(identity, inverse curvature) x product (dot, cosine) x checkpoints. Weights of gradient methods are effects on the
log-probability of the question's own label: positive, the example being there helps.

Start with `Influence`, which is close to exact for a convex head; `EmbeddingSimilarity` and `BM25` are the baselines that any
attribution has to beat; `RandomLinks` shows what chance looks like.
"""
