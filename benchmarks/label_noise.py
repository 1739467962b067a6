"""Which score finds wrong labels? Planted flips on three text sets, and real noise on a fourth.

    WHENCE_DATA=../shared/data python benchmarks/label_noise.py --sets trec6,sst2,clinc150,medrel,medrel-masked --seeds 3

For TREC-6, SST-2 and CLINC150 one label in ten is replaced by another class drawn uniformly, once per seed. For the medical
relation set the labels are those of distant supervision, on all 3,984 sentences, and truth is whether they differ from the
adjudicated label on the 929 sentences that have one. Every score is a method of the catalogue with its default parameters on
MiniLM embeddings; `Confidence`, `Margin` and `Agreement` say that high is easy and are read from the other end. Printed: area
under the ROC curve, the same within each given label (mean over labels), average precision, and the share of wrong labels found
among the 5 % highest scores, of the best possible. Real noise is lopsided: 45 % of the medical "cause" labels are wrong and 4 %
of the others, so that the given label alone reaches 0.798 there, and the area within labels is the figure to read.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from whence.core.catalogue import entries
from whence.core.context import Context
from whence.core.pool import Pool
from whence.core.store import Store
from whence.kernels.ranking import auroc, average_precision, recall_at_share
from whence.models import open_encoder
from whence.models.observe import Observer

DATA = Path(os.environ.get("WHENCE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
HIGH_IS_EASY = ("agreement", "confidence", "margin")
SHARE = 0.1


def labelled(name: str) -> list[tuple[str, str]]:
    """(text, label) of a training set."""
    if name == "clinc150":
        with gzip.open(DATA / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
            return [(text, label) for text, label in json.load(file)["train"]]
    path = DATA / name / ("train.txt" if name == "trec6" else "train.txt.gz")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:  # type: ignore[operator]
        rows = [line.rstrip("\n").split(" ", 1) for line in file]
    return [(text, label.split(":")[0]) for label, text in rows]


def planted(name: str, seed: int) -> tuple[Pool, np.ndarray, np.ndarray]:
    """A pool with flipped labels, which rows are judged (all), and which labels are wrong."""
    rows = labelled(name)
    names = sorted({label for _, label in rows})
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(rows), dtype=bool)
    wrong[rng.permutation(len(rows))[: round(SHARE * len(rows))]] = True
    shift = rng.integers(1, len(names), len(rows))
    table = [{"text": text, "label": names[(names.index(label) + int(s)) % len(names)] if w else label}
             for (text, label), w, s in zip(rows, wrong, shift, strict=True)]
    return Pool.from_rows(table, roles={"text": "text", "label": "label"}, name=name), np.ones(len(rows), dtype=bool), wrong


def medical(terms: str) -> tuple[Pool, np.ndarray, np.ndarray]:
    """The distant-supervision labels of all rows; which rows have a trusted label; which of those are wrong.

    `terms`: "as they are", or "masked" by X and Y, so that a head cannot learn the labels of pairs by heart.
    """
    with gzip.open(DATA / "crowdtruth_medrel" / "ground_truth_cause.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = [{"text": masked(row) if terms == "masked" else row["sentence"], "label": row["baseline"],
              "sid": row["SID"]} for row in rows]
    judged = np.array([row["test_partition"] in ("-1", "1", "-1.0", "1.0") for row in rows])
    wrong = np.array([bool(j) and float(row["test_partition"]) != float(row["baseline"]) for j,
                      row in zip(judged, rows, strict=True)])
    return Pool.from_rows(table, roles={"text": "text", "label": "label"}, name="medrel"), judged, wrong


def masked(row: dict[str, str]) -> str:
    """The sentence with its two terms replaced."""
    sentence = row["sentence"]
    (a, b), (c, d) = sorted(((int(row["b1"]), int(row["e1"])), (int(row["b2"]), int(row["e2"]))))
    first, second = ("X", "Y") if int(row["b1"]) <= int(row["b2"]) else ("Y", "X")
    return f"{sentence[:a]}{first}{sentence[b:c]}{second}{sentence[d:]}"


def within(labels: np.ndarray, truth: np.ndarray, suspect: np.ndarray) -> float:
    """Mean over labels with both kinds of rows of the area under the ROC curve within the label."""
    areas = [auroc(truth[labels == c], suspect[labels == c]) for c in np.unique(labels)
             if 0 < truth[labels == c].sum() < (labels == c).sum()]
    return float(np.mean(areas))


def measured(pool: Pool, judged: np.ndarray, wrong: np.ndarray, observer: Observer, only: set[str]
             ) -> Iterator[tuple[str, float, float, float, float, float]]:
    """(method, AUROC, AUROC within labels, AP, share of the best recall at 5 %, CPU seconds) of every score."""
    for entry in entries("score"):
        if entry.family not in ("score/noise",
                                "score/difficulty") or "reference" in entry.card.needs or (only and entry.name not in only):
            continue
        before = time.process_time()
        found = entry.cls()(pool, observer, observer.ctx).values
        spent = time.process_time() - before
        suspect = (-found if entry.name in HIGH_IS_EASY else found)[judged]
        truth = wrong[judged]
        best = min(1.0, 0.05 * len(truth) / truth.sum())
        yield (entry.id, auroc(truth, suspect), within(pool.labels.codes[judged], truth, suspect),
               average_precision(truth, suspect), recall_at_share(truth, suspect, 0.05) / best, spent)


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    say.add_argument("--sets", default="trec6,sst2,clinc150,medrel,medrel-masked")
    say.add_argument("--seeds", type=int, default=3)
    say.add_argument("--only", default="", help="short names of scores, separated by commas")
    say.add_argument("--cache", default="", help="folder for embeddings and fits (default: a temporary one)")
    given = say.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        ctx = Context(store=Store(given.cache or fresh))
        encoder = open_encoder("minilm")
        for name in given.sets.split(","):
            runs: dict[str, list[list[float]]] = {}
            for seed in range(1 if name.startswith("medrel") else given.seeds):
                terms = "masked" if name == "medrel-masked" else "as they are"
                pool, judged, wrong = medical(terms) if name.startswith("medrel") else planted(name, seed)
                observer = Observer(encoder, ctx)
                for method, *figures in measured(pool, judged, wrong, observer, set(filter(None, given.only.split(",")))):
                    runs.setdefault(method, []).append(figures)
                    sys.stderr.write(f"{name} {seed} {method} {figures[0]:.4f}\n")
            print(f"\n{name}: {int(wrong.sum())} of {int(judged.sum())} labels are wrong\n")
            print("| score | AUROC | least | within labels | AP | recall at 5 % | CPU s |\n|---|---|---|---|---|---|---|")
            for method, table in sorted(runs.items(), key=lambda item: -np.mean([r[0] for r in item[1]])):
                a = np.array(table)
                mean = a.mean(axis=0)
                print(f"| {method} | {mean[0]:.4f} | {a[:, 0].min():.4f} | {mean[1]:.4f} | {mean[2]:.3f} | {mean[3]:.3f} "
                      f"| {mean[4]:.1f} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
