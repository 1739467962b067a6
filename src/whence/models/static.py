"""Static embeddings (model2vec): a text is the mean of its tokens' vectors. No network; about 100 times faster than MiniLM.

Tulkens and van Dongen 2024, "Model2Vec: Distill a Small Fast Model from any Sentence Transformer" (software).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whence.core.context import Context
from whence.core.errors import BadInput, MissingExtra
from whence.core.step import content_hash
from whence.models.weights import folder_digest

MAX_TOKENS = 512
CHARS = 100 * MAX_TOKENS


class StaticModel:
    """A model2vec folder. A text without a known token is all 0."""

    def __init__(self, folder: Path, *, name: str) -> None:
        try:
            from model2vec import StaticModel as Inner
        except ImportError:
            raise MissingExtra("model2vec", "static", f"the model '{name}'") from None
        try:
            self._model = Inner.from_pretrained(str(folder))
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"model2vec cannot open this folder: {str(error).splitlines()[0]}", path=folder) from None
        self.name = name
        self.fingerprint = content_hash(["model2vec", 1, folder_digest(folder), MAX_TOKENS])

    def __repr__(self) -> str:
        return f"StaticModel('{self.name}')"

    @property
    def dim(self) -> int:
        return int(self._model.dim)

    def encode(self, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        clean = [t[:CHARS].encode("utf-16", "surrogatepass").decode("utf-16", "replace") for t in texts]
        made = self._model.encode(clean, max_length=MAX_TOKENS, show_progress_bar=False, use_multiprocessing=False)
        vectors: NDArray[np.float32] = np.asarray(made, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        out = np.zeros_like(vectors)
        np.divide(vectors, norms, out=out, where=norms > 1e-12)
        return out
