"""Static embeddings: the mean of token vectors, normalised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whence.core.context import Context
from whence.models.encoder import open_encoder

pytest.importorskip("model2vec", reason="model2vec is not installed")


def test_a_text_is_the_mean_of_its_tokens(tmp_path: Path) -> None:
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 1, "red": 2, "blue": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    table = np.array([[0, 0, 0], [0, 0, 0], [3, 0, 0], [0, 4, 0]], dtype=np.float32)
    StaticModel(table, tokenizer).save_pretrained(str(tmp_path / "static"))

    encoder = open_encoder(tmp_path / "static")
    vectors = encoder.encode(["red blue", "red red", "", "unknown", "\ud800"], Context())
    np.testing.assert_allclose(vectors, [[0.6, 0.8, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], atol=1e-6)
    assert encoder.dim == 3 and encoder.encode([], Context()).shape == (0, 3)
