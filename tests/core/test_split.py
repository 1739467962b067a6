"""Parts never mix, classes keep their shares, duplicates stay together, and one more row moves next to nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from whence.core.errors import BadInput
from whence.core.pool import Pool
from whence.core.split import _borders, split


def pool_of(n: int, classes: int = 4, *, start: int = 0) -> Pool:
    return Pool.from_rows(
        [{"text": f"row {i}", "label": f"c{i % classes}"} for i in range(start, start + n)],
        roles={"text": "text", "label": "label"},
    )


def test_parts_are_a_partition_in_pool_order_with_even_classes() -> None:
    pool = pool_of(400)
    parts = split(pool, seed=3)
    assert sorted(i for p in parts for i in p.ids) == sorted(pool.ids)
    assert [p.labels.counts for p in parts] == [{f"c{c}": k for c in range(4)} for k in (70, 15, 15)]
    for part in parts:
        assert list(part.ids) == [i for i in pool.ids if i in set(part.ids)]
        assert part.lineage[-2:][0].method in ("split", "take")


def test_the_seed_decides_and_row_order_does_not() -> None:
    pool = pool_of(100)
    reverse = Pool(pool.table.take(list(range(99, -1, -1))), pool.roles)
    assert set(split(pool, seed=1)[0].ids) == set(split(reverse, seed=1)[0].ids)
    assert set(split(pool, seed=1)[0].ids) != set(split(pool, seed=2)[0].ids)


def test_one_more_row_moves_at_most_a_row_across_each_border() -> None:
    small, large = pool_of(200), pool_of(201)
    before = {i: p for p, part in enumerate(split(small, seed=5)) for i in part.ids}
    after = {i: p for p, part in enumerate(split(large, seed=5)) for i in part.ids}
    assert sum(before[i] != after[i] for i in before) <= 2


def test_groups_and_repeated_rows_stay_together() -> None:
    pool = Pool.from_rows(
        [{"text": f"row {i // 3}", "label": "ab"[(i // 3) % 2]} for i in range(90)], roles={"text": "text", "label": "label"}
    )
    part_of = {i: p for p, part in enumerate(split(pool, (0.5, 0.5))) for i in part.ids}
    assert all(part_of[i] == part_of[i.split("~")[0]] for i in pool.ids)
    groups = [i % 10 for i in range(100)]
    part_of = {i: p for p, part in enumerate(split(pool_of(100), (0.6, 0.4), groups=groups)) for i in part.ids}
    ids = pool_of(100).ids
    assert all(len({part_of[ids[i]] for i in range(100) if groups[i] == g}) == 1 for g in range(10))


def test_small_classes_fill_all_parts_on_average() -> None:
    # 300 classes of two rows: each in the largest part, the other part by its share
    parts = split(pool_of(600, 300), (0.8, 0.1, 0.1))
    assert Counter(parts[0].column("label")).keys() == {f"c{i}" for i in range(300)}
    assert all(35 < len(p) < 90 for p in parts[1:])


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.77])
@pytest.mark.parametrize("count", [1, 2, 7, 20, 133])
def test_borders_by_hand_limits(count: int, phase: float) -> None:
    ends = _borders(count, (0.7, 0.15, 0.15), phase)
    sizes = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == count and min(sizes) >= 0 and sizes[0] >= 1
    assert all(abs(s - count * share) <= 1 for s, share in zip(sizes, (0.7, 0.15, 0.15), strict=True))


@pytest.mark.parametrize(("shares", "n", "words"), [
    ((0.7, 0.7), 10, "add up to 1"), ((1.0,), 10, "add up to 1"), ((1.2, -0.2), 10, "positive"), ((0.5, float("nan")),
     10, "positive"),
    ((0.5, 0.5), 1, "too few rows"),
])  # fmt: skip
def test_bad_shares(shares: tuple[float, ...], n: int, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        split(pool_of(n), shares)


def test_one_group_cannot_be_split_and_groups_must_fit() -> None:
    with pytest.raises(BadInput, match="would be empty"):
        split(pool_of(10), (0.5, 0.5), groups=[0] * 10)
    with pytest.raises(BadInput, match="one group per row"):
        split(pool_of(10), (0.5, 0.5), groups=[0])


def test_without_labels() -> None:
    parts = split(Pool.from_rows([{"text": f"row {i}"} for i in range(100)], roles={"text": "text"}))
    assert [len(p) for p in parts] == [70, 15, 15]
