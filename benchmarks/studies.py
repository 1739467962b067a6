"""`whence study` on real labelled text, cold: seconds, what it recommends, and the figures behind it.

    python benchmarks/studies.py [--sets clinc150,trec6,sst2,medrel] [--data FOLDER]

Each set is turned into JSONL as a user would have it, and studied in a process of its own with an empty cache, so the
embedding is in the time. One table row a set.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

Rows = Iterator[dict[str, str]]


def text_of(path: Path) -> str:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return raw.decode("utf-8")


def trec6(data: Path, part: str) -> Rows:
    for line in text_of(data / "trec6" / f"{part}.txt").splitlines():
        label, _, text = line.partition(" ")
        yield {"question": text, "kind": label.split(":")[0]}


def sst2(data: Path, part: str) -> Rows:
    name = data / "sst2" / f"{part}.txt"
    for line in text_of(name if name.exists() else name.with_suffix(".txt.gz")).splitlines():
        label, _, text = line.partition(" ")
        yield {"sentence": text, "label": {"0": "negative", "1": "positive"}[label]}


def clinc150(data: Path, part: str) -> Rows:
    for text, label in json.loads(text_of(data / "clinc150" / "data_full.json.gz"))[part]:
        yield {"utterance": text, "intent": label}


def medrel(data: Path, part: str) -> Rows:
    """Sentences under their noisy labels for training; those with a trusted label, under it, for the proof."""
    for row in csv.DictReader(text_of(data / "crowdtruth_medrel" / "ground_truth_cause.csv.gz").splitlines()):
        trusted = row["test_partition"]
        if part == "train" and trusted in ("", "NA"):
            yield {"text": row["sentence"], "label": row["baseline"]}
        elif part == "test" and trusted in ("-1", "1"):
            yield {"text": row["sentence"], "label": trusted}


SETS = {"trec6": trec6, "sst2": sst2, "clinc150": clinc150, "medrel": medrel}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WHENCE_DATA", "../shared/data")))
    parser.add_argument("--plant", default=None, help="passed on to whence study")
    parser.add_argument("--keep", type=Path, default=None, help="keep the run folders here")
    args = parser.parse_args()
    print(
        f"{'set':<10} {'train':>6} {'proof':>6} {'wall s':>7} {'CPU s':>7} {'all %':>6} {'LDS':>6} {'leaks':>5}  recommendation"
    )
    for name in args.sets.split(","):
        with tempfile.TemporaryDirectory() as tmp:
            folder = Path(tmp)
            for part in ("train", "test"):
                lines = (json.dumps(row, ensure_ascii=False) for row in SETS[name](args.data, part))
                (folder / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            out = (args.keep or folder) / f"run-{name}"
            command = [
                sys.executable,
                "-m",
                "whence",
                "study",
                str(folder / "train.jsonl"),
                "--test",
                str(folder / "test.jsonl"),
                "-o",
                str(out),
                "--json",
            ]
            if args.plant:
                command += ["--plant", args.plant]
            before, began = os.times(), time.perf_counter()
            done = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, "WHENCE_CACHE": str(folder / "cache")}, check=False
            )
            wall, after = time.perf_counter() - began, os.times()
            if done.returncode:
                print(f"{name:<10} failed: {done.stderr.strip()[-300:]}")
                continue
            s = json.loads(done.stdout)
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            lds = s["lds"]["value"]
            print(
                f"{name:<10} {s['train']:>6} {s['proof']:>6} {wall:>7.1f} {cpu:>7.1f} {100 * s['full']['mean']:>6.1f} "
                f"{'-' if lds is None else f'{lds:.3f}':>6} {s['leaked']:>5}  {s['recommendation']}"
            )


if __name__ == "__main__":
    main()
