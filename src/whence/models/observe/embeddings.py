"""Embeddings of a pool's texts, each distinct text encoded once for ever: a changed row costs one row.

On disk there is one folder per encoder fingerprint, holding shards that are only ever added: content hashes, vectors and
a checksum. A shard appears whole, by renaming its folder, so a killed process leaves none that is half written and two
processes may add shards at once. The order of encoding is that of `models/batches.py`: what a killed run has left to do
is exactly the rest of its plan, so the resumed run gives the same bytes as an unbroken one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.store import disk_error
from whence.models.batches import KEY, Batch, encode_batches, text_keys
from whence.models.capabilities import Embeds

FLUSH_SECONDS = 3.0
FLUSH_ROWS = 8192
SMALL_ROWS = 8192
MANY_SMALL = 48
STALE_SECONDS = 24 * 3600.0
UNTOLD = -1

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Embedded:
    """`vectors` float32 [n, dim], rows of L2 norm 1 (0 where the model sees nothing); `truncated` [n] says which texts were
    longer than the model reads (None where the encoder does not tell); `encoded` counts the distinct texts that were not
    in the cache."""

    vectors: NDArray[np.float32]
    truncated: NDArray[np.bool_] | None
    encoded: int

    @property
    def truncated_share(self) -> float | None:
        """Share of texts that were cut, 0 to 1; None where the encoder does not tell."""
        if self.truncated is None:
            return None
        return float(self.truncated.mean()) if len(self.truncated) else 0.0


def embeddings(texts: Sequence[str], encoder: Embeds, ctx: Context) -> NDArray[np.float32]:
    """Vectors of the texts, float32 [n, dim], in their order. Raises BadInput for a text that is not a string."""
    return embed(texts, encoder, ctx).vectors


def embed(texts: Sequence[str], encoder: Embeds, ctx: Context) -> Embedded:
    """Vectors of the texts, which of them were cut, and how many were not in the cache.

    An encoder that is fitted on the texts it is given (it has `fit`, like TF-IDF) is cached as a whole for these texts.
    """
    all_keys = text_keys(texts)
    if hasattr(encoder, "fit"):
        what = {"embeddings": encoder.fingerprint, "seed": ctx.seed, "texts": xxhash.xxh3_128_hexdigest(all_keys.tobytes())}
        made: list[int] = []

        def make() -> Arrays:
            made.append(len(np.unique(all_keys)))
            with ctx.task("embedding", len(texts)) as advance:
                vectors = encoder.encode(texts, ctx)
                advance(len(texts))
            return {"vectors": vectors}

        whole = ctx.store.once(what, make)["vectors"]
        return Embedded(np.array(whole, dtype=np.float32), None, sum(made))

    keys, first, where = np.unique(all_keys, return_index=True, return_inverse=True)
    shards = Shards(ctx.store.root / "embeddings" / encoder.fingerprint, encoder.dim)
    vectors = np.zeros((len(keys), encoder.dim), dtype=np.float32)
    truncated = np.full(len(keys), UNTOLD, dtype=np.int8)
    missing = np.flatnonzero(~shards.read(keys, vectors, truncated))
    if len(missing):
        with ctx.task("embedding", len(keys)) as advance:
            advance(len(keys) - len(missing))
            batches = encode_batches(encoder, [texts[first[i]] for i in missing], keys[missing], ctx)
            for batch in _kept(shards, batches, keys[missing]):
                vectors[missing[batch.rows]] = batch.vectors
                truncated[missing[batch.rows]] = _told(batch)
                advance(len(batch.rows))
        shards.merge_small()
    told = None if (truncated == UNTOLD).any() else truncated[where] == 1
    return Embedded(vectors[where], told, len(missing))


def _told(batch: Batch) -> NDArray[np.int8]:
    """1 for a cut text, 0 for a whole one, UNTOLD where the encoder does not tell; int8 [k], as it is stored."""
    return np.full(len(batch.rows), UNTOLD, dtype=np.int8) if batch.truncated is None else batch.truncated.astype(np.int8)


def _kept(shards: Shards, batches: Iterable[Batch], keys: NDArray[np.bytes_]) -> Iterator[Batch]:
    """Pass batches on, and write whole ones to the cache every few seconds, at the end, and when the work is interrupted."""
    waiting: list[Batch] = []
    last = time.monotonic()

    def flush() -> None:
        if waiting:
            shards.add(np.concatenate([keys[b.rows] for b in waiting]), np.concatenate([b.vectors for b in waiting]),
                       np.concatenate([_told(b) for b in waiting]))
            waiting.clear()

    try:
        for batch in batches:
            waiting.append(batch)
            yield batch
            if time.monotonic() - last > FLUSH_SECONDS or sum(len(b.rows) for b in waiting) >= FLUSH_ROWS:
                flush()
                last = time.monotonic()
    finally:
        flush()


class Shards:
    """The vectors of one encoder on disk, in a folder of shards that are only added, or merged when many are small."""

    def __init__(self, root: Path, dim: int) -> None:
        self.root, self.dim = root, dim

    def read(self, keys: NDArray[np.bytes_], vectors: NDArray[np.float32], truncated: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Fill in the rows whose key is here and say which those are; a damaged shard is passed over.

        `keys` are distinct and sorted; `vectors` and `truncated` have a row for each.
        """
        found = np.zeros(len(keys), dtype=bool)
        for folder in self._folders():
            if found.all():
                break
            if (shard := self._open(folder)) is None:
                continue
            here = shard["keys"]
            at = np.searchsorted(keys, here)
            hit = (at < len(keys)) & (keys[np.minimum(at, len(keys) - 1)] == here)
            hit[hit] &= ~found[at[hit]]
            if hit.any() and self._sound(folder, shard):
                vectors[at[hit]] = shard["vectors"][hit]
                truncated[at[hit]] = shard["truncated"][hit]
                found[at[hit]] = True
        return found

    def add(self, keys: NDArray[np.bytes_], vectors: NDArray[np.float32], truncated: NDArray[np.int8]) -> None:
        """Write a shard, whole or not at all. Raises BadInput when the disk is full or may not be written."""
        arrays = {"keys": np.ascontiguousarray(keys, dtype=KEY), "vectors": np.ascontiguousarray(vectors, dtype=np.float32),
                  "truncated": np.ascontiguousarray(truncated, dtype=np.int8)}
        if arrays["vectors"].shape != (len(keys), self.dim):
            raise BadInput("The encoder gave vectors of another shape than it promised", given=arrays["vectors"].shape,
                           legal=(len(keys), self.dim))
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"
        tmp = self.root / f".{name}.tmp"
        try:
            tmp.mkdir(parents=True)
            for field, array in arrays.items():
                with open(tmp / f"{field}.npy", "wb") as file:
                    np.save(file, array, allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
            (tmp / "note.json").write_text(json.dumps({"rows": len(keys), "checksum": _checksum(arrays)}), encoding="utf-8")
            os.rename(tmp, self.root / name)
        except OSError as error:
            shutil.rmtree(tmp, ignore_errors=True)
            raise disk_error(error, self.root) from None

    def merge_small(self) -> None:
        """Make one shard of the small ones when there are many.

        A process that is about to read one of them then encodes its texts again, at worst.
        """
        self._sweep()
        opened = [(folder, self._open(folder)) for folder in self._folders()]
        small = [(folder, shard) for folder, shard in opened if shard is not None and len(shard["keys"]) < SMALL_ROWS]
        if len(small) < MANY_SMALL:
            return
        small = [(folder, shard) for folder, shard in small if self._sound(folder, shard)]
        if not small:
            return
        keys = np.concatenate([s["keys"] for _, s in small])
        kept = np.unique(keys, return_index=True)[1]
        vectors, truncated = (np.concatenate([shard[field] for _, shard in small]) for field in ("vectors", "truncated"))
        self.add(keys[kept], vectors[kept], truncated[kept])
        for folder, _ in small:
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        try:
            return sorted(p for p in self.root.iterdir() if not p.name.startswith("."))
        except OSError:
            return []

    def _open(self, folder: Path) -> Arrays | None:
        """The arrays of a shard, vectors memory-mapped, or None where it is damaged or gone."""
        try:
            shard: Arrays = {
                "keys": np.load(folder / "keys.npy", allow_pickle=False),
                "vectors": np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False),
                "truncated": np.load(folder / "truncated.npy", allow_pickle=False),
            }
        except (OSError, ValueError, EOFError):
            return None
        n = len(shard["keys"]) if shard["keys"].ndim == 1 else -1
        right = shard["keys"].dtype == KEY and shard["vectors"].dtype == np.float32 and shard["truncated"].dtype == np.int8
        return shard if right and shard["vectors"].shape == (n, self.dim) and shard["truncated"].shape == (n,) else None

    def _sound(self, folder: Path, shard: Arrays) -> bool:
        """Whether a shard's contents are what was written."""
        try:
            note = json.loads((folder / "note.json").read_text(encoding="utf-8"))
            return bool(note["checksum"] == _checksum(shard))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _sweep(self) -> None:
        """Remove what killed processes left a day ago or earlier."""
        for path in self.root.glob(".*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
            except OSError:
                continue


def _checksum(arrays: Arrays) -> str:
    hasher = xxhash.xxh3_64()
    for name in ("keys", "vectors", "truncated"):
        hasher.update(np.ascontiguousarray(arrays[name]).view(np.uint8).reshape(-1).data)
    return hasher.hexdigest()


def describe(embedded: Embedded) -> str:
    """One line for logs and reports: how many texts, how many encoded now, which share was cut."""
    share = embedded.truncated_share
    cut = "" if share is None else f", {100 * share:.1f} % longer than the model reads"
    return f"{len(embedded.vectors):,} texts, {embedded.encoded:,} encoded now{cut}"
