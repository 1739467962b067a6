"""A step: which method, with which parameters and seed, made a piece of evidence, a decision or a pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import xxhash


def content_hash(value: object) -> str:
    """128-bit hash (32 hex digits) of any JSON-like value; dict order does not matter."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return xxhash.xxh3_128_hexdigest(data)


@dataclass(frozen=True)
class Step:
    """One step of lineage.

    `method` is the catalogue id (`score/difficulty/el2n`) or a verb of the pool (`load`, `take`);
    `params` is JSON-like; `inputs` are the fingerprints of what it looked at. `key` names the step by content:
    equal steps have equal keys, so a run can tell what is already done.
    """

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    inputs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return content_hash([self.method, dict(self.params), self.seed, list(self.inputs)])

    def to_dict(self) -> dict[str, Any]:
        return {"method": self.method, "params": dict(self.params), "seed": self.seed,
                "inputs": list(self.inputs), "key": self.key}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Step:
        return cls(data["method"], dict(data.get("params") or {}), data.get("seed"), tuple(data.get("inputs") or ()))
