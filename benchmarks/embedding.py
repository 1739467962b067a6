"""Side by side with sentence-transformers (and OpenVINO, where installed): MiniLM on real texts, on the CPU.

    python benchmarks/embedding.py [--texts 400] [--threads 1 2] [--max-tokens 256] [--data FOLDER] [--skip-openvino]

Rows: docstrings of the standard library, and TREC-6 questions where the data folder has them. "cosine" is the smallest
over the texts to sentence-transformers' float32; "neighbours" is the share of its 10 nearest texts that are still
among the 10 nearest; "ratio" is its CPU seconds over the path's. Each path is run once to warm up, then three times;
the least CPU time counts. Import and loading are printed apart.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from whence.core.context import Context
from whence.core.store import Store
from whence.models.batches import plan, text_keys
from whence.models.minilm import find
from whence.models.observe.embeddings import embeddings
from whence.models.sentence_model import BertSentenceModel
from whence.models.tfidf import Tfidf

Encode = Callable[[list[str]], Any]


def docstrings(count: int) -> list[str]:
    """Docstrings of 200 characters or more from modules of the standard library, in a fixed order."""
    found: set[str] = set()
    names = {m.name for m in pkgutil.iter_modules()} & sys.stdlib_module_names - {"this", "antigravity", "idlelib"}
    for name in sorted(names):
        if name.startswith("_") or len(found) > 3 * count:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
        found |= {text for value in vars(module).values() if callable(value) and len(text := inspect.getdoc(value) or "") >= 200}
    return [t for _, t in sorted(zip(text_keys(sorted(found)).tolist(), sorted(found), strict=True))][:count]


def questions(folder: Path, count: int) -> list[str]:
    file = folder / "trec6" / "train.txt"
    return [line.split(" ", 1)[1] for line in file.read_text(encoding="latin-1").splitlines()][:count] if file.is_file() else []


def peers(folder: Path, threads: int, max_tokens: int, with_openvino: bool) -> Iterator[tuple[str, Encode]]:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.max_seq_length = max_tokens
    yield "sentence-transformers float32", lambda texts: model.encode(texts, show_progress_bar=False, normalize_embeddings=True)
    half = SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.bfloat16})
    half.max_seq_length = max_tokens
    yield "sentence-transformers bfloat16", lambda texts: half.encode(
        texts, show_progress_bar=False, normalize_embeddings=True, convert_to_tensor=True).float().numpy()
    if with_openvino:
        for precision in ("f32", "bf16"):
            yield f"OpenVINO {precision}", openvino_path(folder, threads, max_tokens, precision)


def openvino_path(folder: Path, threads: int, max_tokens: int, precision: str) -> Encode:
    """transformers' network converted by OpenVINO, fed by our tokenizer and plan."""
    import openvino
    import torch
    from transformers import BertModel

    net = BertModel.from_pretrained(str(folder), local_files_only=True, attn_implementation="sdpa").eval()

    class States(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.net(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    example = (torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(States(), example_input=example)
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.Core().compile_model(converted, "CPU", options)
    ours = BertSentenceModel(folder, name="minilm", device="cpu", precision="float32", max_tokens=max_tokens)

    def encode(texts: list[str]) -> Any:
        tokens = ours.tokenise(texts)
        out = np.zeros((len(texts), 384), dtype=np.float32)
        for rows in plan(tokens.lengths, text_keys(texts), 1024):
            lengths = tokens.lengths[rows]
            ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
            for i, row in enumerate(rows):
                ids[i, : lengths[i]] = tokens.ids[tokens.starts[row] : tokens.starts[row + 1]]
            mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
            states = compiled([ids, mask])[0]
            out[rows] = (states * mask[:, :, None]).sum(1)
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    return encode


def own(folder: Path, threads: int, max_tokens: int) -> Iterator[tuple[str, Encode]]:
    ctx = Context(threads=threads, store=Store(tempfile.mkdtemp()))
    for precision in ("float32", "bfloat16"):
        model = BertSentenceModel(folder, name="minilm", device="cpu", precision=precision,  # type: ignore[arg-type]
                                  max_tokens=max_tokens)
        yield f"whence {precision}", lambda texts, model=model: model.encode(texts, ctx)  # type: ignore[misc]
    automatic = BertSentenceModel(folder, name="minilm", device="cpu", max_tokens=max_tokens)
    yield f"whence default ({automatic.precision}) from the cache", lambda texts: embeddings(texts, automatic, ctx)
    yield "whence tfidf (other vectors)", lambda texts: Tfidf().encode(texts, ctx)


def nearest(vectors: Any, k: int = 10) -> Any:
    near = vectors @ vectors.T
    np.fill_diagonal(near, -np.inf)
    return np.argsort(-near, axis=1, kind="stable")[:, :k]


def table(name: str, texts: list[str], threads: int, args: argparse.Namespace) -> None:
    print(f"\n{name}: {len(texts)} texts, {threads} thread{'s' if threads > 1 else ''}, at most {args.max_tokens} tokens")
    print(f"{'path':44} {'docs/s':>8} {'CPU s':>8} {'wall s':>8} {'cosine':>8} {'neighbours':>11} {'ratio':>7}")
    truth: Any = None
    base = 0.0
    folder = find()
    paths = (*peers(folder, threads, args.max_tokens, not args.skip_openvino), *own(folder, threads, args.max_tokens))
    for label, encode in paths:
        vectors = encode(texts)
        cpu = wall = float("inf")
        for _ in range(3):
            w, c = time.perf_counter(), time.process_time()
            encode(texts)
            cpu, wall = min(cpu, time.process_time() - c), min(wall, time.perf_counter() - w)
        if truth is None:
            truth, base = np.asarray(vectors), cpu
        same = vectors.shape == truth.shape
        cosine = f"{(vectors * truth).sum(1).min():8.5f}" if same else f"{'-':>8}"
        kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(nearest(vectors), nearest(truth), strict=True)])
        print(f"{label:44} {len(texts) / wall:8.0f} {cpu:8.3f} {wall:8.3f} {cosine} {kept:11.4f} {base / cpu:7.2f}")


def starting() -> None:
    print("Import and open, one cold process each (CPU s):")
    ours = "from whence.models import open_encoder; open_encoder()"
    theirs = ("from sentence_transformers import SentenceTransformer; from whence.models.minilm import find; "
              "SentenceTransformer(str(find()), device='cpu')")
    for label, code in (("whence default encoder", ours), ("sentence-transformers", theirs)):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ, stderr=subprocess.DEVNULL)
        after = os.times()
        print(f"{label:44} {after.children_user + after.children_system - before.children_user - before.children_system:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--max-tokens", type=int, default=256)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WHENCE_DATA") or beside))
    parser.add_argument("--skip-openvino", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    starting()
    for threads in args.threads:
        sets = {"standard library docstrings": docstrings(args.texts), "TREC-6 questions": questions(args.data, 3 * args.texts)}
        for name, texts in sets.items():
            if texts:
                table(name, texts, threads, args)


if __name__ == "__main__":
    main()
