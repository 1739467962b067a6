"""Floor 1: the only door to a network. Encoders turn texts into vectors; observables cache what models say.

Start with `open_encoder()` (MiniLM, 384 numbers a text); use `open_encoder("tfidf")` where torch is not installed, and a
folder or a hub name for any other sentence-transformers or model2vec model.
"""

from __future__ import annotations

from whence.models.capabilities import Embeds
from whence.models.encoder import fitted, open_encoder

__all__ = ["Embeds", "fitted", "open_encoder"]
