import numpy as np

from whence.core.context import Context
from whence.core.pool import Pool
from whence.curate.dedup.near import Near


def pool(*texts: str) -> Pool:
    return Pool.from_rows([{"text": t, "n": i} for i, t in enumerate(texts)], roles={"text": "text"})


def test_weight_is_the_true_jaccard_index() -> None:
    words = [f"w{i}" for i in range(40)]
    changed = [*words[:39], "other"]
    p = pool(" ".join(words), " ".join(changed), "nothing of the kind is said here at all")
    links = Near(threshold=0.5, shingle=5)(p, Context())
    # 36 runs each, 35 of them shared: 35 / 37
    assert links.head.tolist() == [0] and links.tail.tolist() == [1]
    np.testing.assert_allclose(links.weight, [35 / 37])


def test_threshold_cuts() -> None:
    words = [f"w{i}" for i in range(40)]
    p = pool(" ".join(words), " ".join([*words[:30], *"abcdefghij"]))
    assert len(Near(threshold=0.9)(p, Context())) == 0
    assert len(Near(threshold=0.5)(p, Context())) == 1


def test_against_finds_leaks_only_across() -> None:
    text = "a sentence that is long enough to have several runs of five words in it"
    train, test = pool(text, text + " twice"), pool(text.upper(), "another matter")
    links = Near(threshold=0.8)(train, Context(), against=test)
    assert set(zip(links.head.tolist(), links.tail.tolist(), strict=True)) == {(0, 0), (1, 0)}
    assert links.heads == train.ids and links.tails == test.ids
