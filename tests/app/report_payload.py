"""A realistic payload of a report, made from a seed: questions in six classes, planted label flips, all that a study says."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

CLASSES = ("description", "entity", "person", "number", "place", "abbreviation")
_STARTS = {
    "description": ("What is the meaning of", "Why does", "How do you explain", "What causes"),
    "entity": ("What kind of", "Which animal is called", "What colour is", "What is the name of the"),
    "person": ("Who was the first to reach", "Who wrote about", "Who invented", "Which president visited"),
    "number": ("How many people live near", "When was the founding of", "How far is it to", "What is the price of"),
    "place": ("Where can one find", "What country borders", "In which city stands", "Where was the birth of"),
    "abbreviation": (
        "What does the abbreviation stand for in",
        "What is the short form of",
        "What do the letters mean in",
        "Expand the acronym of",
    ),
}
_THINGS = (
    "the northern lights",
    "a steam engine",
    "the river Danube",
    "the Hanseatic League",
    "penicillin",
    "the silk road",
    "a binary star",
    "the printing press",
    "the Suez canal",
    "copper wire",
    "the Olympic flame",
    "an earthquake",
    "the honey bee",
    "the stock exchange",
    "Lake Titicaca",
    "the first telephone",
    "a sonnet",
    "the Great Wall",
    "a black hole",
    "the Marathon",
    "a barometer",
    "the periodic table",
)
_TAILS = ("", " today", " in the nineteenth century", " according to most historians", " and its neighbours", " before the war")

SIGNALS = (
    (
        "noise",
        "Label-noise probability",
        "the label is probably wrong",
        "probability",
        "1 − confidence of the given label, out of fold",
        "high",
    ),
    ("el2n", "EL2N", "far from its label early in training", "norm", "length of the error vector, mean over seeds", "high"),
    ("forgetting", "Forgetting events", "learnt and lost again", "events", "times a row went from right to wrong", "high"),
    ("learned_at", "Learned at", "learnt late", "epoch", "first epoch from which the row stays right", "high"),
    ("confidence", "Mean confidence", "easy to learn", "probability", "mean probability of the given label over epochs", "low"),
    ("variability", "Variability", "ambiguous", "probability", "deviation of that probability over epochs", None),
    (
        "margin",
        "Area under the margin",
        "clearly its class",
        "logits",
        "given logit minus the largest other, mean over epochs",
        "low",
    ),
    ("knn", "kNN agreement", "neighbours share the label", "share", "share of 10 nearest rows with the same label", "low"),
    ("typicality", "Typicality", "in a dense place", "inverse distance", "inverse mean distance to 20 neighbours", None),
    (
        "prototype",
        "Distance to prototype",
        "far from the middle of its class",
        "distance",
        "1 − cosine to the class mean",
        "high",
    ),
    ("ood", "Out-of-distribution", "unlike the validation rows", "distance", "distance to the nearest validation row", "high"),
    ("length", "Length", "long", "tokens", "number of tokens", None),
    (
        "influence",
        "Influence on validation loss",
        "the row lowers the validation loss",
        "nats",
        "inverse-Hessian influence",
        "low",
    ),
    (
        "self_influence",
        "Self-influence",
        "the row is held up by itself alone",
        "nats",
        "influence of the row on its own loss",
        "high",
    ),
    ("grand", "Gradient norm", "large gradient early", "norm", "norm of the gradient of the head, mean over seeds", "high"),
    (
        "perplexity",
        "Bigram surprise",
        "unusual wording",
        "nats per token",
        "cross-entropy under a bigram model of the pool",
        None,
    ),
)

METHODS = (
    ("random", "stable", "every row has the same chance", 0.0),
    ("facility location", "stable", "rows that stand for all others", 0.052),
    ("noise-cleaned", "stable", "drop probable label errors, then random", 0.046),
    ("herding", "trial", "keep the mean", 0.03),
    ("k-center", "trial", "cover the space", 0.006),
    ("prototypes, easy", "trial", "nearest to the class mean", 0.024),
    ("prototypes, hard", "trial", "farthest from the class mean", -0.07),
    ("EL2N", "trial", "keep the hardest", -0.11),
    ("EL2N, rescored", "trial", "keep the hardest, scored again", -0.06),
    ("forgetting", "trial", "keep the most forgotten", -0.04),
    ("influence, targeted", "stable", "largest effect on validation", 0.061),
    ("GIO", "trial", "match the target distribution", 0.033),
    ("longest", "trial", "longest rows first", -0.02),
    ("random, fresh each epoch", "stable", "another random part each epoch", 0.012),
)


def row_id(i: int) -> str:
    return hashlib.sha256(f"row {i}".encode()).hexdigest()[:16]


def texts_of(n: int, labels: list[str], rng: np.random.Generator) -> list[str]:
    out = []
    for label in labels:
        start, thing, tail = (words[int(rng.integers(len(words)))] for words in (_STARTS[label], _THINGS, _TAILS))
        out.append(f"{start} {thing}{tail} ?")
    return out


def make_payload(n: int = 1200, seed: int = 7, signals: int = 16) -> dict[str, Any]:
    """A full payload with n examples and the first `signals` signals."""
    rng = np.random.default_rng(seed)
    true = rng.choice(len(CLASSES), n, p=[0.22, 0.23, 0.21, 0.17, 0.15, 0.02])
    flipped = rng.random(n) < 0.05
    given = np.where(flipped, (true + rng.integers(1, len(CLASSES), n)) % len(CLASSES), true)
    angle = 2 * np.pi * true / len(CLASSES)
    x = np.cos(angle) * 3 + rng.normal(0, 0.85, n) + rng.normal(0, 0.25, n) ** 3
    y = np.sin(angle) * 2 + rng.normal(0, 0.75, n)
    wrong = flipped.astype(float)
    hard = np.clip(rng.beta(1.3, 6, n) + wrong * rng.beta(5, 2, n), 0, 1)
    values = {
        "noise": np.clip(hard * 0.9 + rng.normal(0, 0.06, n), 0, 1),
        "el2n": np.clip(hard * 1.3 + rng.normal(0, 0.1, n), 0.01, 1.41),
        "forgetting": rng.poisson(0.3 + 3 * hard).astype(float),
        "learned_at": np.minimum(20, rng.poisson(2 + 9 * hard)).astype(float),
        "confidence": np.clip(1 - hard + rng.normal(0, 0.05, n), 0.01, 0.999),
        "variability": np.clip(0.25 - (hard - 0.5) ** 2 + rng.normal(0, 0.03, n), 0, 0.5),
        "margin": 4 - 7 * hard + rng.normal(0, 0.8, n),
        "knn": np.clip(np.round(10 * (1 - hard + rng.normal(0, 0.15, n))) / 10, 0, 1),
        "typicality": rng.gamma(8, 0.2, n),
        "prototype": np.clip(0.3 + 0.4 * hard + rng.normal(0, 0.1, n), 0, 2),
        "ood": rng.gamma(5, 0.08, n),
        "length": rng.integers(5, 24, n).astype(float),
        "influence": (0.2 - hard + rng.normal(0, 0.25, n)) * 1e-3,
        "self_influence": np.exp(rng.normal(-6, 0.8, n) + 3 * hard),
        "grand": np.clip(hard * 2 + rng.normal(0, 0.3, n), 0.01, None),
        "perplexity": rng.gamma(20, 0.3, n),
    }
    known = [s for s in SIGNALS[:signals]]
    scores: dict[str, list[float | None]] = {s[0]: [float(v) for v in values[s[0]]] for s in known}
    scores[known[-1][0]][0] = None
    labels = [CLASSES[int(g)] for g in given]
    texts = texts_of(n, [CLASSES[int(t)] for t in true], rng)
    ids = [row_id(i) for i in range(n)]
    suspect = values["noise"] > np.quantile(values["noise"], 0.95)
    harmful = np.quantile(values["influence"], 0.01)
    dropped: list[str | None] = [None] * n
    for i in range(n):
        if suspect[i]:
            dropped[i] = "probable label error"
        elif i % 41 == 0:
            dropped[i] = "near copy"
        elif values["influence"][i] < harmful:
            dropped[i] = "hurts validation"
    n_drop = sum(d is not None for d in dropped)
    matrix = np.corrcoef(np.argsort(np.argsort(np.stack([values[s[0]] for s in known]), axis=1), axis=1))
    by_influence = np.argsort(values["influence"])
    budgets = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
    base = [0.52, 0.688, 0.742, 0.795, 0.822, 0.842]
    lines = []
    for name, status, line, gain in METHODS:
        points = []
        for b, m in zip(budgets, base, strict=True):
            mean = m if b == 1 else m + gain * (1 - b) ** 2 * (0.6 + 0.8 * rng.random())
            half = 0.004 + 0.022 * (1 - b) ** 6
            points.append({"budget": b, "k": max(1, round(b * n)), "mean": mean, "low": mean - half, "high": mean + half})
        lines.append({"name": name, "status": status, "line": line, "points": points, "seconds": float(rng.gamma(2, 3))})
    reasons = {r: dropped.count(r) for r in dict.fromkeys(d for d in dropped if d)}
    pairs = []
    for k, (kind, scope) in enumerate(
        [
            ("exact", "leak"),
            ("near", "leak"),
            ("near", "train"),
            ("exact", "train"),
            ("semantic", "train"),
            ("near", "train"),
            ("near", "train"),
            ("semantic", "leak"),
        ]
    ):
        left = texts[k]
        right = left if kind == "exact" else left.replace(" ?", " really ?") if kind == "near" else texts[k + 9]
        same = len(left) - 2 if kind == "near" else len(left)
        spans = [] if kind == "semantic" else [[0, same, 0, same]]
        pairs.append(
            {
                "kind": kind,
                "scope": scope,
                "similarity": 1.0 if kind == "exact" else 0.93 - 0.01 * k,
                "spans": spans,
                "a": {"id": ids[k], "text": left, "label": labels[k]},
                "b": {"id": row_id(10**6 + k), "text": right, "label": labels[k if k != 4 else 5]},
            }
        )
    traces = []
    for k in range(10):
        order = rng.permutation(n)
        traces.append(
            {
                "id": row_id(2 * 10**6 + k),
                "text": texts[int(order[0])],
                "given": CLASSES[k % 6],
                "predicted": CLASSES[(k + 2) % 6],
                "confidence": 0.52 + 0.04 * k,
                "pushed": [
                    {"id": ids[int(i)], "text": texts[int(i)], "label": labels[int(i)], "weight": 0.012 / (j + 1)}
                    for j, i in enumerate(order[1:5])
                ],
                "against": [
                    {"id": ids[int(i)], "text": texts[int(i)], "label": labels[int(i)], "weight": -0.009 / (j + 1)}
                    for j, i in enumerate(order[5:9])
                ],
                "neighbours": [
                    {"id": ids[int(i)], "text": texts[int(i)], "label": labels[int(i)], "similarity": 0.91 - 0.03 * j}
                    for j, i in enumerate(order[9:12])
                ],
            }
        )
    return {
        "title": "Questions by kind of answer",
        "run": "study-20k-7f3a",
        "created": "2026-11-21 10:04 UTC",
        "version": "0.1.0",
        "seed": 7,
        "command": "whence study train.jsonl --test test.jsonl -o study-20k-7f3a --seed 7",
        "versions": {"python": "3.11", "numpy": "2.3.1", "torch": "2.8.0", "scikit-learn": "1.7.0"},
        "data": {
            "train": {"name": "train.jsonl", "n": n, "quarantined": 3},
            "valid": {"n": n // 5},
            "proof": {"n": 500},
            "origin": "given",
            "classes": [
                {"name": c, "train": labels.count(c), "valid": labels.count(c) // 5, "proof": labels.count(c) // 8}
                for c in CLASSES
            ],
            "roles": [
                {"role": "text", "column": "question", "reason": "the longest words, and named like a question"},
                {"role": "label", "column": "coarse", "reason": "6 different words over all rows"},
            ],
            "quarantined": [
                {"where": "train.jsonl:118", "reason": "not JSON: unclosed string", "raw": '{"question": "What is a barom'},
                {
                    "where": "train.jsonl:902",
                    "reason": "no label",
                    "raw": '{"question": "Where is Lake Titicaca ?", "coarse": null}',
                },
                {"where": "train.jsonl:2044", "reason": "empty text", "raw": '{"question": "", "coarse": "number"}'},
            ],
            "encoder": "all-MiniLM-L6-v2, 384 numbers a text",
            "notes": ["The file named no validation rows, so a fifth of the training rows chose the settings."],
        },
        "recommendation": {
            "sentence": f"Drop {n_drop} of {n:,} training rows: accuracy on rows that chose nothing rises by 1.8 points.",
            "detail": "Most of them carry a label that the other rows contradict. The rest are near copies.",
            "drop": n_drop,
            "keep": n - n_drop,
            "reasons": [{"reason": r, "count": c} for r, c in reasons.items()],
            "expected": {"delta": 0.021, "low": 0.008, "high": 0.034},
            "verdict": "improves",
            "proven": {"delta": 0.018, "low": 0.006, "high": 0.03, "metric": "accuracy", "before": 0.842, "after": 0.86},
        },
        "checks": [
            {
                "name": "Leaks",
                "verdict": "bad",
                "sentence": "14 training rows are also test rows. Figures are given with and without them.",
            },
            {
                "name": "Labels",
                "verdict": "warn",
                "sentence": "About 5 % of the labels are probably wrong; most of them are among the dropped.",
            },
            {
                "name": "Influence",
                "verdict": "good",
                "sentence": "The estimates predict real retraining: linear datamodeling score 0.47 (0.43 to 0.51).",
            },
            {
                "name": "Class balance",
                "verdict": "warn",
                "sentence": "The class abbreviation has few rows, so its figures are uncertain.",
            },
            {
                "name": "Proof",
                "verdict": "good",
                "sentence": "500 held-out rows were looked at once, after all choices were made.",
            },
            {
                "name": "Encoder",
                "verdict": "info",
                "sentence": "Everything here is seen through a frozen sentence encoder; another encoder may see it otherwise.",
            },
        ],
        "duplicates": {
            "counts": {"exact": 12, "near": 31, "semantic": 58, "leaked": 14},
            "pairs": pairs,
            "leak_effect": {
                "metric": "accuracy",
                "with_leaks": 0.851,
                "without_leaks": 0.842,
                "n_leaked": 14,
                "sentence": "Leaked rows flatter the test score by 0.9 points.",
            },
        },
        "signals": {
            "columns": [
                {"key": k, "name": name, "high": high, "unit": unit, "doc": doc, "method": f"score/{k}", "suspect": s}
                for k, name, high, unit, doc, s in known
            ],
            "correlation": {"keys": [s[0] for s in known], "matrix": matrix.tolist()},
            "found": {
                "what": "planted label flips",
                "n": int(flipped.sum()),
                "table": [
                    {"name": "Label-noise probability", "auroc": 0.962, "recall5": 0.78, "precision": 0.74, "status": "stable"},
                    {"name": "kNN agreement", "auroc": 0.921, "recall5": 0.63, "precision": 0.6, "status": "stable"},
                    {"name": "Self-influence", "auroc": 0.9, "recall5": 0.55, "precision": 0.52, "status": "trial"},
                    {"name": "EL2N", "auroc": 0.894, "recall5": 0.53, "precision": 0.51, "status": "trial"},
                    {"name": "Length", "auroc": 0.503, "recall5": 0.05, "precision": 0.05, "status": "trial"},
                ],
            },
        },
        "examples": {
            "id": ids,
            "text": texts,
            "label": labels,
            "part": ["valid" if i % 6 == 0 else "train" for i in range(n)],
            "x": x,
            "y": y,
            "dropped": dropped,
            "planted": ["label flip" if f else None for f in flipped],
            "scores": scores,
            "projection": "PCA",
        },
        "influence": {
            "lds": {
                "value": 0.47,
                "low": 0.43,
                "high": 0.51,
                "retrains": 64,
                "sentence": "Over 64 models trained on random halves, its order has a rank correlation of 0.47.",
            },
            "contrast": [
                {"name": "Nearest rows (kNN)", "lds": 0.21},
                {"name": "Gradient similarity", "lds": 0.29},
                {"name": "Random", "lds": 0.004},
            ],
            "helpful": [ids[int(i)] for i in by_influence[::-1][:12]],
            "harmful": [ids[int(i)] for i in by_influence[:12]],
            "unit": "nats",
            "high": "the row lowers the validation loss",
            "key": "influence",
        },
        "curves": {
            "metric": "accuracy",
            "full": {"mean": 0.842, "low": 0.836, "high": 0.848},
            "budgets": budgets,
            "methods": lines,
        },
        "traces": traces,
        "arena": [
            {
                "family": "noise",
                "method": "confident learning",
                "status": "stable",
                "figure": 0.962,
                "low": 0.951,
                "high": 0.972,
                "baseline": 0.94,
            },
            {
                "family": "noise",
                "method": "kNN agreement",
                "status": "trial",
                "figure": 0.921,
                "low": 0.905,
                "high": 0.936,
                "baseline": 0.94,
            },
            {
                "family": "noise",
                "method": "area under the margin",
                "status": "trial",
                "figure": 0.945,
                "low": 0.932,
                "high": 0.958,
                "baseline": 0.94,
            },
            {
                "family": "influence",
                "method": "inverse Hessian",
                "status": "stable",
                "figure": 0.47,
                "low": 0.43,
                "high": 0.51,
                "baseline": 0.21,
            },
            {
                "family": "influence",
                "method": "gradient similarity",
                "status": "trial",
                "figure": 0.29,
                "low": 0.25,
                "high": 0.33,
                "baseline": 0.21,
            },
        ],
        "timings": [
            {"step": "read and hash", "seconds": 0.41, "cached": False},
            {"step": "embeddings", "seconds": 38.2, "cached": True},
            {"step": "class probabilities", "seconds": 21.7, "cached": False},
            {"step": "duplicates and leaks", "seconds": 3.9, "cached": False},
            {"step": "influence", "seconds": 12.4, "cached": False},
            {"step": "selectors", "seconds": 141.0, "cached": False},
            {"step": "proof", "seconds": 6.3, "cached": False},
        ],
        "files": [
            {"name": "pool.parquet", "what": "the training rows as they were read"},
            {"name": "scores.parquet", "what": "one number per row and signal"},
            {"name": "links.parquet", "what": "duplicates, leaks and influence, as pairs"},
            {"name": "kept.jsonl", "what": "the rows to train on"},
            {"name": "dropped.jsonl", "what": "the rows left out, each with its reason"},
            {"name": "manifest.json", "what": "recipe, versions, seeds, timings"},
        ],
    }


HOSTILE = (
    "</script><script>document.documentElement.dataset.owned='1'</script>",
    '<img src=x onerror="document.documentElement.dataset.owned=1">',
    "<!--<script>",
    "a\x00b\x08c\x7f",
    "\u202eright to left override\u202c מה זה? ما هذا؟",
    "👩‍👩‍👧‍👦 family 🇨🇭 flag",
    "lone \ud83d half and \u2028 line \u2029 separators",
    "{{PAYLOAD}} {{SCRIPT}} ${1+1} `x` \\u003cscript\\u003e",
    "'\"&amp;&lt; ]]> */ //",
    "w" * 4000,
    "__proto__",
    "",
)


def make_hostile() -> dict[str, Any]:
    """The same payload with hostile texts in every place where a text may stand."""
    payload = make_payload(n=240, signals=6)
    bad = HOSTILE

    def spoil(value: Any, k: list[int]) -> Any:
        if isinstance(value, str):
            k[0] += 1
            return bad[k[0] % len(bad)]
        if isinstance(value, dict):
            return {
                key: v if key in ("kind", "scope", "verdict", "key", "keys", "suspect", "origin") else spoil(v, k)
                for key, v in value.items()
            }
        if isinstance(value, list):
            return [spoil(v, k) for v in value]
        return value

    ids = payload["examples"]["id"]
    spoiled = {key: spoil(value, [i]) for i, (key, value) in enumerate(payload.items())}
    spoiled["examples"]["id"] = ids
    spoiled["examples"]["scores"] = payload["examples"]["scores"]
    spoiled["influence"]["helpful"], spoiled["influence"]["harmful"] = (
        payload["influence"]["helpful"],
        payload["influence"]["harmful"],
    )
    return spoiled
