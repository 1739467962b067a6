import pytest

from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.errors import BadInput
from whence.core.pool import Pool
from whence.curate.filter.heuristics import Heuristics, measures


def test_measures_by_hand() -> None:
    m = measures("one two two\n# 22\none two two\n")
    assert m["words"] == 8 and m["symbols"] == 1 / 8 and m["letters"] == 6 / 8
    assert m["repeated_lines"] == pytest.approx(1 / 3) and m["commonest_word"] == 4 / 8
    assert m["word_length"] == (6 * 3 + 1 + 2) / 8


def test_reasons_name_the_rule_and_the_value() -> None:
    pool = Pool.from_rows([{"text": "fine words here"}, {"text": " "}, {"text": "buy " * 20}], roles={"text": "text"})
    made = Heuristics()(pool, Context())
    assert made.kept == pool.ids[:1]
    assert made.dropped == {pool.ids[1]: "0 words, fewer than 1", pool.ids[2]: "one word makes 1.00 of the text, above 0.8"}


def test_gopher_preset_drops_short_documents() -> None:
    pool = Pool.from_rows([{"text": "too short for a web page"}], roles={"text": "text"})
    assert build("gopher", verb="curate")(pool, Context()).dropped == {pool.ids[0]: "6 words, fewer than 50"}


def test_illegal_rule() -> None:
    with pytest.raises(BadInput, match="max_repeated_lines"):
        Heuristics(max_repeated_lines=1.5)
