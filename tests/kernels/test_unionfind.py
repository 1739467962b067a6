"""Labels of connected groups, against a breadth-first twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.kernels.unionfind import clusters


def label(n: int, edges: list[tuple[int, int]]) -> list[int]:
    a = np.array([edge[0] for edge in edges], dtype=np.int32)
    b = np.array([edge[1] for edge in edges], dtype=np.int32)
    return [int(label) for label in clusters(n, a, b)]


def test_by_hand() -> None:
    assert label(0, []) == []
    assert label(3, []) == [0, 1, 2]
    assert label(6, [(4, 5), (1, 4), (2, 3)]) == [0, 1, 2, 2, 1, 1]


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=30))
def test_equals_breadth_first_search(edges: list[tuple[int, int]]) -> None:
    expected = list(range(15))
    for start in range(15):
        if expected[start] != start:
            continue
        reached, frontier = {start}, [start]
        while frontier:
            node = frontier.pop()
            for x, y in edges:
                for near in {y} if x == node else {x} if y == node else set():
                    if near not in reached:
                        reached.add(near)
                        frontier.append(near)
        for node in reached:
            expected[node] = start
    assert label(15, edges) == expected


def test_refuses_unknown_nodes_and_ragged_edges() -> None:
    with pytest.raises(ValueError, match="outside"):
        label(2, [(0, 2)])
    with pytest.raises(ValueError, match="one length"):
        clusters(2, np.zeros(1, np.int32), np.zeros(2, np.int32))
