"""Which texts are encoded together: a plan that depends on nothing but the texts, so that a resumed run equals an unbroken one.

The plan sorts distinct texts by (length in tokens, content hash) and cuts whole batches off the front. After any number
of whole batches, the plan of what is left is the rest of the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import xxhash
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.errors import BadInput
from whence.models.capabilities import Embeds

KEY = np.dtype("S16")
BATCH_TEXTS = 512


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts, end to end: text i is `ids[starts[i]:starts[i + 1]]`; `truncated[i]` says whether it was cut."""

    ids: NDArray[np.unsignedinteger]
    starts: NDArray[np.int64]
    truncated: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)


@runtime_checkable
class EmbedsTokens(Embeds, Protocol):
    """An encoder that lets the plan see token lengths first. `batch_tokens` is the padded size of a batch."""

    @property
    def batch_tokens(self) -> int: ...

    def tokenise(self, texts: Sequence[str]) -> Tokens: ...

    def encode_tokens(self, tokens: Tokens, rows: NDArray[np.int64], ctx: Context) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Batch:
    """One encoded batch: positions in the texts given, their vectors [k, dim], and whether each text was cut, where the
    encoder tells."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    truncated: NDArray[np.bool_] | None


def text_keys(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """128-bit content hash of each text, S16 [n]. Raises BadInput for a value that is not a string."""
    out = np.empty(len(texts), dtype=KEY)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadInput(f"Text {i} is not a string", given=repr(text)[:80], legal="strings",
                           do="give an empty string where there is no text")
        out[i] = xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
    return out


def plan(lengths: NDArray[np.int64], keys: NDArray[np.bytes_], budget: int) -> list[NDArray[np.int64]]:
    """Rows of each batch, in order: sorted by (length, key), cut where count x longest would pass `budget` tokens."""
    order = np.lexsort((keys, lengths))
    sizes = lengths[order].tolist()
    cuts, first = [0], 0
    for i, size in enumerate(sizes):
        if i > first and (i - first + 1 > BATCH_TEXTS or size * (i - first + 1) > budget):
            cuts.append(i)
            first = i
    return [order[a:b] for a, b in zip(cuts, [*cuts[1:], len(sizes)], strict=True) if b > a]


def encode_batches(encoder: Embeds, texts: Sequence[str], keys: NDArray[np.bytes_], ctx: Context) -> Iterator[Batch]:
    """Encode distinct texts, batch by batch, in the order of the plan."""
    if isinstance(encoder, EmbedsTokens):
        tokens = encoder.tokenise(texts)
        for rows in plan(tokens.lengths, keys, encoder.batch_tokens):
            yield Batch(rows, encoder.encode_tokens(tokens, rows, ctx), tokens.truncated[rows])
        return
    chars = np.array([len(t) for t in texts], dtype=np.int64)
    for rows in plan(chars, keys, 1 << 17):
        yield Batch(rows, encoder.encode([texts[i] for i in rows], ctx), None)


def encode_all(encoder: EmbedsTokens, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
    """Vectors of texts [n, dim] without a cache; equal texts are encoded once."""
    keys, first, where = np.unique(text_keys(texts), return_index=True, return_inverse=True)
    out = np.zeros((len(keys), encoder.dim), dtype=np.float32)
    with ctx.task("embedding", len(keys)) as advance:
        for batch in encode_batches(encoder, [texts[i] for i in first], keys, ctx):
            out[batch.rows] = batch.vectors
            advance(len(batch.rows))
    return out[where]
