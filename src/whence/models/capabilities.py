"""What a model can do, as small Protocols. A card's `needs` names one of these; a model has those that apply to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whence.core.context import Context


@runtime_checkable
class Embeds(Protocol):
    """Turns texts into vectors.

    `fingerprint` changes whenever a vector may change (weights, precision, token limit, pooling), so it can name a
    cache; `dim` is the width; `name` is for people.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def name(self) -> str: ...

    def encode(self, texts: Sequence[str], ctx: Context) -> NDArray[np.float32]:
        """Vectors of the texts, float32 [n, dim]; each row has L2 norm 1, or is all 0 where the model sees nothing in it."""
        ...


@runtime_checkable
class Classifies(Protocol):
    """Gives class probabilities, float [n, classes]; rows sum to 1."""

    def class_probs(self, texts: Sequence[str], ctx: Context) -> NDArray[np.floating[Any]]: ...


@runtime_checkable
class Reads(Protocol):
    """Gives the log-probability, in nats, of every token of a target after its context."""

    def token_logprobs(self, contexts: Sequence[str], targets: Sequence[str], ctx: Context) -> list[NDArray[np.float32]]: ...


@runtime_checkable
class Generates(Protocol):
    """Continues a prompt with text."""

    def generate(self, prompts: Sequence[str], ctx: Context) -> list[str]: ...


@runtime_checkable
class Differentiates(Protocol):
    """Gives one gradient per example, float [n, parameters], of the loss with respect to the weights it names."""

    def gradients(self, texts: Sequence[str], ctx: Context) -> NDArray[np.floating[Any]]: ...


@runtime_checkable
class Hooks(Protocol):
    """Lets a caller see hidden states, float [n, hidden] at the last token, of a layer (0 = after the embedding)."""

    def hidden_states(self, texts: Sequence[str], layer: int, ctx: Context) -> NDArray[np.floating[Any]]: ...
