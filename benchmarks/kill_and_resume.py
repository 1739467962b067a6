"""Kill a study at random moments (SIGKILL), resume it with the same command, and compare what it leaves, byte by byte.

    python benchmarks/kill_and_resume.py --kills 20 [--encoder minilm] [--train FILE] [--limit 400] [--seed 0]

An unbroken run is timed first; the moments are spread over its duration, one in each of as many equal stretches as there
are kills. Every kill has a run folder and a cache of its own. Ends with 1 when any run differs or does not resume.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EVIDENCE = ("pool.parquet", "scores.parquet", "links.parquet", "kept.jsonl", "dropped.jsonl", "review.jsonl")


def command(args: argparse.Namespace, folder: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "whence",
        "study",
        args.train,
        "--limit",
        str(args.limit),
        "--encoder",
        args.encoder,
        "--seeds",
        "1",
        "--retrains",
        "10",
        "--plant",
        "label-flips=0.05,duplicates=0.02,leaks=5",
        "-o",
        str(folder / "run"),
        "--quiet",
        "--json",
    ]


def start(args: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "WHENCE_CACHE": str(folder / "cache")}
    return subprocess.Popen(command(args, folder), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(args: argparse.Namespace, folder: Path) -> float:
    """Run to the end; seconds. Raises RuntimeError with what the study said when it fails."""
    began = time.perf_counter()
    running = start(args, folder)
    _, said = running.communicate()
    if running.returncode != 0:
        raise RuntimeError(f"exit {running.returncode}: {said.decode()}")
    return time.perf_counter() - began


def evidence(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "run" / name).read_bytes() for name in EVIDENCE}


def steps(folder: Path) -> list[dict[str, object]]:
    path = folder / "run" / "manifest.json"
    return json.loads(path.read_text())["steps"] if path.exists() else []  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", default="stdlib:docstrings")
    parser.add_argument("--encoder", default="tfidf")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        finish(args, Path(root) / "warm")  # kernels are compiled once, before anything is timed
        seconds = min(finish(args, Path(root) / name) for name in ("whole", "again"))
        whole = evidence(Path(root) / "whole")
        print(f"unbroken: {seconds:.1f} s, {len(steps(Path(root) / 'whole'))} steps; kills over that stretch:\n")
        print(f"{'killed at':>10}  {'last step that was whole':<28}  {'resumed':>8}  equal")
        for k in range(args.kills):
            moment, alive, attempt = seconds * (k + rng.random()) / args.kills, False, 0
            while not alive:  # the machine's pace varies: a kill after the end is none, and is tried again a little earlier
                attempt += 1
                folder = Path(root) / f"kill-{k}-{attempt}"
                running = start(args, folder)
                time.sleep(moment)
                alive = running.poll() is None
                running.send_signal(signal.SIGKILL)
                running.communicate()
                moment *= 1 if alive else 0.85
            done = steps(folder)
            again = finish(args, folder)
            same = [name for name, data in evidence(folder).items() if data == whole[name]]
            left = [p for p in (folder / "run").rglob("*.tmp")]
            ok = len(same) == len(EVIDENCE) and not left
            bad += not ok
            last = str(done[-1]["step"]) if done else "-"
            print(
                f"{moment:>8.2f} s  {last:<28}  {again:>6.1f} s  "
                f"{'yes' if ok else 'NO: ' + ', '.join(sorted(set(EVIDENCE) - set(same)) + [p.name for p in left])}",
                flush=True,
            )
    print(f"\n{args.kills - bad} of {args.kills} runs are byte-equal to the unbroken one in {len(EVIDENCE)} files")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
