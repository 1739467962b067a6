import pytest

from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.evidence import Links
from whence.core.pool import Pool
from whence.core.step import Step
from whence.curate.keep.one_per_cluster import OnePerCluster


def made(texts: list[str], labels: list[str], pairs: list[tuple[int, int, float]]) -> tuple[Pool, Links]:
    pool = Pool.from_rows([{"text": t, "label": y, "n": i} for i, (t, y) in enumerate(zip(texts, labels, strict=True))],
                          roles={"text": "text", "label": "label"})
    links = Links.between(pool, pool, [a for a, _, _ in pairs], [b for _, b, _ in pairs], [w for _, _, w in pairs],
                          kind="near", route="text", high="same", unit="Jaccard index", step=Step("test"))
    return pool, links


def test_first_and_longest_of_a_chain() -> None:
    pool, links = made(["a", "bb", "ccc", "d"], ["x"] * 4, [(0, 1, 0.9), (1, 2, 0.85)])
    first = OnePerCluster()(pool, links, Context())
    assert first.kept == (pool.ids[0], pool.ids[3])
    assert first.dropped[pool.ids[1]] == f"near duplicate of {pool.ids[0]} (Jaccard index 0.900)"
    assert OnePerCluster(keep="longest")(pool, links, Context()).kept == (pool.ids[2], pool.ids[3])


def test_another_threshold_cuts_the_same_links_again() -> None:
    pool, links = made(["a", "bb", "ccc"], ["x"] * 3, [(0, 1, 0.9), (1, 2, 0.85)])
    assert len(OnePerCluster(threshold=0.88)(pool, links, Context()).kept) == 2
    assert len(OnePerCluster(threshold=0.95)(pool, links, Context()).kept) == 3


def test_different_labels_do_not_stand_for_each_other() -> None:
    pool, links = made(["a", "a"], ["x", "y"], [(0, 1, 1.0)])
    assert len(OnePerCluster()(pool, links, Context()).kept) == 2
    assert len(OnePerCluster(same_label=False)(pool, links, Context()).kept) == 1


def test_links_of_another_pool_are_refused() -> None:
    pool, _ = made(["a"], ["x"], [])
    _, links = made(["b", "c"], ["x", "x"], [(0, 1, 1.0)])
    with pytest.raises(BadInput, match="not within this pool"):
        OnePerCluster()(pool, links, Context())
