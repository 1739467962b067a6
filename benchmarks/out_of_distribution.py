"""Which typicality score finds queries of no known intent? CLINC150: validation queries against out-of-scope ones.

    WHENCE_DATA=../shared/data python benchmarks/out_of_distribution.py --per-class 40

The reference is a part of the 15,000 training queries of 150 intents; asked are the 3,000 validation queries and the 1,000
out-of-scope test queries. Printed: area under the ROC curve for out of scope, the share of in-scope queries refused when 95 % of
the out-of-scope ones are (FPR@95), the area for all mistakes of the head (out of scope, or in scope and wrong), CPU seconds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.pool import Pool
from whence.core.store import Store
from whence.kernels.ranking import auroc
from whence.models import open_encoder
from whence.models.observe import Observer

DATA = Path(os.environ.get("WHENCE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SCORES = ("knn-distance", "prototype-distance", "msp", "energy", "sage", "random")


def main() -> None:
    say = argparse.ArgumentParser()
    say.add_argument("--per-class", type=int, default=40)
    say.add_argument("--cache", default="")
    given = say.parse_args()
    with gzip.open(DATA / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        data = json.load(file)
    taken: dict[str, int] = {}
    train = []
    for text, label in data["train"]:
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= given.per_class:
            train.append({"text": text, "label": label})
    roles = {"text": "text", "label": "label"}
    reference = Pool.from_rows(train, roles=roles, name="clinc150-train")
    asked = Pool.from_rows([{"text": t, "label": y} for t, y in data["val"] + data["oos_test"]], roles=roles,
                           name="clinc150-asked")
    foreign = np.array([y == "oos" for y in asked.column("label")])
    with tempfile.TemporaryDirectory() as fresh:
        ctx = Context(store=Store(given.cache or fresh))
        observer = Observer(open_encoder("minilm"), ctx)
        guess = observer.head(reference).probs(observer.embeddings(asked)).argmax(axis=1)
        mistaken = guess != observer.codes(asked, reference.labels.names)
        print(f"{len(reference)} reference, {int(foreign.sum())} of {len(asked)} out of scope, {int(mistaken.sum())} mistakes\n")
        print("| score | AUROC | FPR@95 | AUROC for mistakes | CPU s |\n|---|---|---|---|---|")
        for name in SCORES:
            before = time.process_time()
            found = build(name, verb="score")(asked, observer, ctx, reference=reference).values
            limit = np.quantile(found[foreign], 0.05)
            refused = (found[~foreign] >= limit).mean()
            print(f"| {name} | {auroc(foreign, found):.4f} | {refused:.3f} | {auroc(mistaken, found):.4f} "
                  f"| {time.process_time() - before:.1f} |", flush=True)


if __name__ == "__main__":
    main()
