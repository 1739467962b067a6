"""Rules that find text which is not text: empty, cut to nothing, symbols, or the same thing over and over.

The measures and the `gopher` preset are those of Rae et al. 2021 ("Scaling Language Models: Methods, Analysis & Insights
from Training Gopher", arXiv:2112.11446, appendix A1.1), which were set for web documents. The defaults here are for
rows of any length: they only drop what is hardly text at all. We measure repetition by lines and by the commonest word;
the paper also counts repeated n-grams up to ten.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar

from whence.core.card import Card, Paper, Preset
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.method import method, param, step_of
from whence.core.pool import Pool, said

_GOPHER = Paper(
    "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", "Rae et al.", 2021, "arXiv:2112.11446"
)
_WORD = re.compile(r"\S+")


def measures(text: str) -> dict[str, float]:
    """Words; mean word length; symbols (# and ellipses) per word; shares of words with a letter, of repeated lines, of the
    commonest word."""
    words = _WORD.findall(text)
    n = len(words)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    commonest = Counter(w.casefold() for w in words).most_common(1)
    return {
        "words": n,
        "word_length": sum(map(len, words)) / n if n else 0.0,
        "symbols": (text.count("#") + text.count("...") + text.count("…")) / n if n else 0.0,
        "letters": sum(any(c.isalpha() for c in w) for w in words) / n if n else 0.0,
        "repeated_lines": 1 - len(set(lines)) / len(lines) if lines else 0.0,
        "commonest_word": commonest[0][1] / n if n else 0.0,
    }


@method
class Heuristics:
    """Drop rows that break a rule; the reason names the rule and the value."""

    card: ClassVar[Card] = Card(
        line="Drop rows that are hardly text: too short or long, mostly symbols, or repeating themselves.",
        papers=(_GOPHER,),
        needs=("text",),
        cost="one pass over the text",
        status="baseline",
        presets={
            "gopher": Preset(
                {
                    "min_words": 50,
                    "max_words": 100_000,
                    "min_word_length": 3.0,
                    "max_word_length": 10.0,
                    "max_symbols": 0.1,
                    "min_letters": 0.8,
                    "max_repeated_lines": 0.3,
                    "max_commonest_word": 1.0,
                },
                "The quality rules for web documents, with the paper's thresholds.",
                _GOPHER,
            ),
        },
    )

    min_words: int = param(1, "least words", ge=0)
    max_words: int = param(100_000, "most words", ge=1)
    min_response_words: int = param(1, "least words of the response, where examples have one", ge=0)
    min_word_length: float = param(1.0, "least mean characters a word", ge=0)
    max_word_length: float = param(100.0, "most mean characters a word", gt=0)
    max_symbols: float = param(1.0, "most # and ellipses a word", ge=0)
    min_letters: float = param(0.0, "least share of words with a letter", ge=0, le=1)
    max_repeated_lines: float = param(0.5, "most share of lines that repeat an earlier one", ge=0, le=1)
    max_commonest_word: float = param(0.8, "most share of one word among all, from ten words on", gt=0, le=1)

    def __call__(self, pool: Pool, ctx: Context) -> Selection:
        dropped = {}
        responses = pool.column("response") if "response" in pool.roles else [None] * len(pool)
        for this, text, response in zip(pool.ids, pool.texts, responses, strict=True):
            reason = self.why(measures(text))
            if reason is None and "response" in pool.roles and (n := len(said(response).split())) < self.min_response_words:
                reason = f"{n} words in the response, fewer than {self.min_response_words}"
            if reason:
                dropped[this] = reason
        return Selection.without(pool, dropped, step=step_of(self, inputs=(pool.fingerprint,)))

    def why(self, m: dict[str, float]) -> str | None:
        """The first rule that these measures break, in words; None where they break none."""
        rules = (
            (m["words"] < self.min_words, f"{m['words']:.0f} words, fewer than {self.min_words}"),
            (m["words"] > self.max_words, f"{m['words']:.0f} words, more than {self.max_words}"),
            (m["word_length"] < self.min_word_length, f"mean word length {m['word_length']:.1f}, below {self.min_word_length:g}"),
            (m["word_length"] > self.max_word_length, f"mean word length {m['word_length']:.1f}, above {self.max_word_length:g}"),
            (m["symbols"] > self.max_symbols, f"{m['symbols']:.2f} symbols a word, above {self.max_symbols:g}"),
            (m["letters"] < self.min_letters, f"{m['letters']:.2f} of the words have a letter, below {self.min_letters:g}"),
            (
                m["repeated_lines"] > self.max_repeated_lines,
                f"{m['repeated_lines']:.2f} of the lines repeat, above {self.max_repeated_lines:g}",
            ),
            (
                m["words"] >= 10 and m["commonest_word"] > self.max_commonest_word,
                f"one word makes {m['commonest_word']:.2f} of the text, above {self.max_commonest_word:g}",
            ),
        )
        return next((words for broken, words in rules if broken), None)
