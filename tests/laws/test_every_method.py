"""Laws of every method: its card, its file, its parameters."""

from __future__ import annotations

import dataclasses
import importlib
import math
from pathlib import Path
from typing import Any

import pytest

from whence.app.dev.generate import NEEDS
from whence.core import catalogue
from whence.core.catalogue import VERBS, Entry, entries, find
from whence.core.errors import BadInput, UnknownName
from whence.core.method import from_params, method_id, params_of, step_of

every = pytest.mark.parametrize("entry", [pytest.param(e, id=e.id) for e in entries()])


def test_the_catalogue_is_not_empty() -> None:
    assert entries()


def test_every_method_file_holds_its_class() -> None:
    """A file of a family that the catalogue cannot read as a method would be left out without a word."""
    root = catalogue._root()
    files = [n for verb in VERBS if (root / verb).is_dir() for n in catalogue._modules(f"whence.{verb}")]
    names = [n for n in files if n.count(".") >= 3]
    lost = [n for n in names if catalogue._class_of(importlib.import_module(n)) is None]
    assert not lost, "no class of the file's name with a card, and the name does not start with '_'"


def test_names_mean_one_thing() -> None:
    for verb in VERBS:
        names = [n for e in entries(verb) for n in (e.name, *e.card.presets)]
        assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)


@every
def test_the_card_is_complete(entry: Entry) -> None:
    card = entry.card
    assert card.line and "\n" not in card.line and card.line.endswith(".")
    assert card.status in ("trial", "stable", "retired", "baseline")
    papers = [*card.papers, *(preset.paper for preset in card.presets.values() if preset.paper)]
    assert papers or card.status == "baseline", "a method comes from a paper, or is an honest baseline"
    assert all(paper.title for paper in papers)
    assert set(card.needs) <= set(NEEDS), "a need that docs/capabilities.md does not know"
    for name, preset in card.presets.items():
        assert name == name.lower() and "_" not in name
        assert preset.line.strip() and "\n" not in preset.line


@every
def test_it_is_found_by_its_names(entry: Entry) -> None:
    assert find(entry.id)[0] == entry
    assert find(entry.name, verb=entry.verb)[0] == entry
    assert method_id(entry.cls) == entry.id


@every
def test_the_file_says_what_it_is(entry: Entry, root: Path) -> None:
    doc = importlib.import_module(entry.cls.__module__).__doc__ or ""
    assert doc.strip(), "the module docstring is the method's page"
    family = importlib.import_module("whence." + entry.family.replace("/", "."))
    assert (family.__doc__ or "").strip(), "the family's __init__ says what its methods take and return"


@every
def test_it_has_an_oracle(entry: Entry, root: Path) -> None:
    folder, _, name = entry.id.rpartition("/")
    assert (root / "tests" / folder / f"test_{name}.py").is_file(), "its test stands at the mirrored path"


@every
def test_parameters_are_documented_and_bounded(entry: Entry) -> None:
    for f in dataclasses.fields(entry.cls):
        assert f.metadata.get("doc"), f"{f.name} has no documentation: use param(...)"
        assert f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING, f"{f.name} has no default"
        if isinstance(f.default, int | float) and not isinstance(f.default, bool):
            assert any(f.metadata.get(k) is not None for k in ("ge", "gt", "le", "lt", "choices")), f"{f.name} has no legal set"


@every
def test_repr_rebuilds(entry: Entry) -> None:
    for params in ({}, *(dict(p.params) for p in entry.card.presets.values())):
        made = from_params(entry.cls, params)
        fields = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
        assert from_params(entry.cls, fields) == made
        if not any(dataclasses.is_dataclass(v) for v in fields.values()):
            assert eval(repr(made), {entry.cls.__name__: entry.cls}) == made
        assert params_of(made).keys() == fields.keys()
        assert step_of(made).key == step_of(from_params(entry.cls, fields)).key


@every
def test_it_cannot_be_changed(entry: Entry) -> None:
    made = entry.cls()
    for f in dataclasses.fields(made):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, f.name, getattr(made, f.name))


def _illegal(f: dataclasses.Field[Any]) -> list[Any]:
    meta, out = f.metadata, []
    if meta.get("choices") is not None:
        return ["no such choice"]
    for key, off in (("ge", -1.0), ("gt", 0.0), ("le", 1.0), ("lt", 0.0)):
        if meta.get(key) is not None:
            out.append(meta[key] + (int(off) if isinstance(meta[key], int) else off))
    if isinstance(f.default, int | float) and not isinstance(f.default, bool):
        out += [math.nan, math.inf, "two", True]
    if isinstance(f.default, bool):
        out += [2, "yes"]
    return out


@every
def test_illegal_parameters_are_refused(entry: Entry) -> None:
    for f in dataclasses.fields(entry.cls):
        for value in _illegal(f):
            with pytest.raises(BadInput, match=f.name):
                entry.cls(**{f.name: value})
    with pytest.raises(UnknownName):
        from_params(entry.cls, {"no_such_parameter": 1})
