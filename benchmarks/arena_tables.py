"""The arenas on real data, written as docs/results.md: every method beside its honest baseline, over seeds, with intervals.

    python benchmarks/arena_tables.py [--data FOLDER] [--out docs/results.md] [--sets trec6,sst2] [--seeds 3]

The tables are what `whence compare score` and `whence compare select` print on the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studies import SETS

import whence as wh

HEAD = """# Results

Written by `python benchmarks/arena_tables.py`; do not edit by hand. Embeddings are MiniLM, the model is a softmax head on
them, figures are means over {seeds} seeds with 95 % intervals. **+** marks a method whose interval lies wholly above that of the
random baseline; a method that does not win stays `trial`, and the row says so. The interval of a score is over seeds; that of a
selector is over seeds and held-out rows.
"""


def write(rows: Iterator[dict[str, str]], path: Path) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def score_table(name: str, made: dict[str, Any]) -> str:
    lines = [
        f"\n## Scores: finding flipped labels in {name}\n",
        f"{made['n']:,} examples, {100 * made['flips']:.0f} % of the labels flipped at random. High is better in every column.\n",
        "| method | status | AUROC | 95 % interval | average precision | recall at 5 % | CPU s | beats random |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in made["rows"]:
        mark = {True: "+", False: "no", None: "baseline"}[r["beats_baseline"]]
        lines.append(
            f"| {r['method']} | {r['status']} | {r['figure']:.4f} | {r['low']:.4f} to {r['high']:.4f} | {r['ap']:.3f} | "
            f"{r['recall5']:.3f} | {r['seconds']:.1f} | {mark} |"
        )
    return "\n".join([*lines, "", made["sentence"], ""])


def select_table(name: str, made: dict[str, Any]) -> str:
    budgets = sorted({r["budget"] for r in made["rows"] if r["budget"] < 1})
    full = next(r for r in made["rows"] if r["method"] == "everything")
    lines = [
        f"\n## Selectors: accuracy on held-out {name}\n",
        f"{made['n']:,} examples to choose from, {made['proof']:,} held out. Everything: {100 * full['figure']:.1f} "
        f"({100 * full['low']:.1f} to {100 * full['high']:.1f}).\n",
        "| method | status | " + " | ".join(f"{100 * b:.0f} %" for b in budgets) + " | CPU s |",
        "|---|---|" + "---|" * (len(budgets) + 1),
    ]
    names = list(dict.fromkeys(r["method"] for r in made["rows"] if r["method"] != "everything"))
    at = {(r["method"], r["budget"]): r for r in made["rows"]}
    names.sort(key=lambda n: -sum(at[n, b]["figure"] for b in budgets if (n, b) in at))
    for n in names:
        cells = [
            f"{100 * at[n, b]['figure']:.1f} [{100 * at[n, b]['low']:.1f}, {100 * at[n, b]['high']:.1f}]"
            f"{' **+**' if at[n, b]['beats_baseline'] else ''}"
            if (n, b) in at
            else ""
            for b in budgets
        ]
        row = next(r for r in made["rows"] if r["method"] == n)
        lines.append(f"| {n} | {row['status']} | " + " | ".join(cells) + f" | {row['seconds']:.1f} |")
    refused = [f"{n}: {why}" for n, why in made["refused"].items()]
    return "\n".join([*lines, "", made["sentence"], *refused, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WHENCE_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--sets", default="trec6,sst2")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    parts = [HEAD.format(seeds=args.seeds)]
    with tempfile.TemporaryDirectory() as tmp:
        for name in args.sets.split(","):
            train = write(SETS[name](args.data, "train"), Path(tmp) / f"{name}-train.jsonl")
            test = write(SETS[name](args.data, "test"), Path(tmp) / f"{name}-test.jsonl")
            parts.append(score_table(name, wh.compare("score", train, seeds=args.seeds)))
            parts.append(select_table(name, wh.compare("select", train, test=test, seeds=args.seeds)))
            print(parts[-2], parts[-1], flush=True)
            args.out.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
