from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from whence.core.errors import NotCapable
from whence.core.pool import Pool
from whence.kernels.ranking import auroc
from whence.score.difficulty.local_structure import LocalStructure, parse, structures


def shape(node) -> object:
    return (node.symbol, [shape(c) for c in node.children]) if node.children else node.symbol


def test_calls_and_lists_are_the_same_tree() -> None:
    tree = ("<root>", [("f", ["a", ("g", ["b", "c"])])])
    assert shape(parse("f(a, g(b, c))")) == tree
    assert shape(parse("( f a ( g b c ) )")) == tree
    assert shape(parse("WALK JUMP")) == ("<root>", ["WALK", "JUMP"])
    assert shape(parse("a) f(b")) == ("<root>", ["a", ("f", ["b"])])


def test_structures_by_hand() -> None:
    assert structures("f(a, b)", 2) == {
        ("one", "f"), ("one", "a"), ("one", "b"), ("side", "a", "b"),
        ("down", "<root>", "f"), ("down", "f", "a"), ("down", "f", "b"),
    }
    assert structures("f(a, b)", 3) - structures("f(a, b)", 2) == {
        ("down", "<root>", "f", "a"), ("down", "<root>", "f", "b"), ("fan", "f", "a", "b"),
    }


def pool(texts: list[str]) -> Pool:
    return Pool.from_rows([{"text": t} for t in texts], roles={"text": "text"})


def test_share_count_and_any(world) -> None:
    train, ask = pool(["f(a, b)", "f(b)"]), pool(["f(a, b)", "f(b, a)", "g(a)", " "])
    share = LocalStructure()(ask, world.observer, world.ctx, reference=train)
    # f(b, a): of 7 structures only (side b a) is new; g(a): g, root-g and g-a of 4 are
    assert [share[i] for i in ask.ids[:3]] == [0.0, pytest.approx(1 / 7), pytest.approx(3 / 4)]
    assert share.missing == {ask.ids[3]: "the output is empty"}
    assert LocalStructure(measure="count")(ask, world.observer, world.ctx, reference=train)[ask.ids[2]] == 3
    assert LocalStructure(measure="any")(ask, world.observer, world.ctx, reference=train)[ask.ids[1]] == 1
    with pytest.raises(NotCapable, match="training pool"):
        LocalStructure()(ask, world.observer, world.ctx)


@pytest.mark.data
def test_new_combinations_with_jump_are_found(data_dir: Path, world) -> None:
    def outputs(part: str) -> list[str]:
        path = next((data_dir / "scan").glob(f"*{part}*"))
        lines = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode().splitlines()
        return [f"{i}: " + line.split("OUT:")[1] for i, line in enumerate(lines) if "OUT:" in line]

    rng = np.random.default_rng(0)
    train, test = outputs("train"), outputs("test")
    held = set(rng.permutation(len(train))[:1000].tolist())
    known = pool([t.split(": ", 1)[1] for i, t in enumerate(train) if i not in held])
    ask = [train[i] for i in sorted(held)] + [test[i] for i in rng.permutation(len(test))[:1000]]
    asked = Pool.from_rows([{"text": t.split(": ", 1)[1], "n": i} for i, t in enumerate(ask)], roles={"text": "text"})
    scores = LocalStructure()(asked, world.observer, world.ctx, reference=known)
    assert auroc(np.arange(len(ask)) >= 1000, scores.values) > 0.95
