"""The shape of a method: a frozen dataclass whose parameters carry their legal set, and whose errors are written from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, dataclass_transform, runtime_checkable

from whence.core.card import Card
from whence.core.errors import BadInput, UnknownName
from whence.core.step import Step

C = TypeVar("C", bound=type)


@runtime_checkable
class Method(Protocol):
    """Anything with a card. Which call it offers is said by its family's Protocol."""

    card: ClassVar[Card]


def param(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """A parameter of a method: its default, one line of documentation with the unit, and its legal set."""
    legal = {"ge": ge, "gt": gt, "le": le, "lt": lt, "choices": None if choices is None else tuple(choices)}
    return dataclasses.field(default=default, metadata={"doc": doc, **legal})


@dataclass_transform(frozen_default=True, field_specifiers=(param,))
def method(cls: C) -> C:
    """Make a class a method: a frozen dataclass whose parameters are checked when it is built.

    The class needs `card: ClassVar[Card]`. Raises BadInput, naming the parameter, what was given and what is legal.
    """

    def check(self: Any) -> None:
        for f in dataclasses.fields(self):
            _check(type(self).__name__, f, getattr(self, f.name))

    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(cls)  # type: ignore[return-value]


def legal_text(meta: Mapping[str, Any]) -> str:
    """The legal set of a parameter in words: `1 or more`, `between 0 and 1`, `one of 'a', 'b'`."""
    if meta.get("choices") is not None:
        return "one of " + ", ".join(repr(c) for c in meta["choices"])
    low = (
        f"{meta['ge']:g} or more"
        if meta.get("ge") is not None
        else (f"above {meta['gt']:g}" if meta.get("gt") is not None else "")
    )
    high = (
        f"{meta['le']:g} or less"
        if meta.get("le") is not None
        else (f"below {meta['lt']:g}" if meta.get("lt") is not None else "")
    )
    return " and ".join(p for p in (low, high) if p)


def _check(owner: str, f: dataclasses.Field[Any], value: Any) -> None:
    meta, kind = f.metadata, str(f.type)
    label = f"{owner}.{f.name}"
    if value is None:
        if "None" in kind or f.default is None:
            return
        raise BadInput(f"{label} is None", legal=legal_text(meta) or kind, do=f"leave it out for {f.default!r}")
    base = kind.split("|")[0].strip()
    if base in ("int", "float") and "str" not in kind and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadInput(f"{label} must be a number", given=repr(value), legal=legal_text(meta) or kind)
    if base == "int" and "float" not in kind and isinstance(value, float):
        raise BadInput(f"{label} must be a whole number", given=repr(value), legal=legal_text(meta) or kind)
    if base == "bool" and not isinstance(value, bool):
        raise BadInput(f"{label} must be true or false", given=repr(value), legal="True or False")
    if meta.get("choices") is not None and value not in meta["choices"]:
        if isinstance(value, str):
            raise UnknownName(f"value of {label}", value, [str(c) for c in meta["choices"]])
        raise BadInput(f"{label} is not legal", given=repr(value), legal=legal_text(meta))
    if isinstance(value, int | float) and not isinstance(value, bool):
        outside = (
            not math.isfinite(value)
            or (meta.get("ge") is not None and value < meta["ge"])
            or (meta.get("gt") is not None and value <= meta["gt"])
            or (meta.get("le") is not None and value > meta["le"])
            or (meta.get("lt") is not None and value >= meta["lt"])
        )
        if outside:
            raise BadInput(f"{label} is out of range", given=repr(value), legal=legal_text(meta) or "a finite number")


def params_of(instance: Any) -> dict[str, Any]:
    """Parameters as JSON-like values; a parameter that is itself a method becomes {"method": id, "params": {...}}."""
    out: dict[str, Any] = {}
    for f in dataclasses.fields(instance):
        value = getattr(instance, f.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {"method": method_id(value), "params": params_of(value)}
        out[f.name] = list(value) if isinstance(value, tuple) else value
    return out


def method_id(thing: Any) -> str:
    """Catalogue id of a method or its class: `whence.score.difficulty.el2n` gives `score/difficulty/el2n`."""
    cls = thing if isinstance(thing, type) else type(thing)
    return cls.__module__.removeprefix("whence.").replace(".", "/")


def step_of(instance: Any, *, seed: int | None = None, inputs: Sequence[str] = ()) -> Step:
    """The step that this method, with these parameters, takes on these inputs (fingerprints)."""
    return Step(method_id(instance), params_of(instance), seed, tuple(inputs))


def from_params(cls: type, params: Mapping[str, Any]) -> Any:
    """Build a method from a mapping; an unknown key is an error that offers the nearest one."""
    names = {f.name for f in dataclasses.fields(cls)}
    for key in params:
        if key not in names:
            raise UnknownName(f"parameter of {cls.__name__}", key, names)
    return cls(**params)
