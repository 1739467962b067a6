"""Which column is what: guessed from the names this ecosystem uses, and from the values where the names do not say.

Every guess comes with its reason in words. Where two columns are equally plausible the guess is refused: a wrong label
column makes every later figure wrong without a sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from whence.core.errors import BadInput
from whence.core.pool import Pool

#: Text columns by how surely the name says so.
TEXT_NAMES: tuple[tuple[str, ...], ...] = (
    ("text", "sentence"),
    ("content", "review", "question", "query", "utterance", "document", "tweet", "message", "body", "comment", "post", "article",
     "review_body", "review_text", "sms", "email", "docstring", "statement", "claim", "input_text", "raw_text", "full_text",
     "news", "lyrics", "transcript", "phrase", "verse", "abstract", "inputs", "input", "description", "passage", "paragraph"),
    ("title", "headline", "context", "summary", "subject", "caption", "txt", "string", "sample", "data", "story"),
)
#: Label columns by how surely the name says so. Those of the later rows must also look like labels.
LABEL_NAMES: tuple[tuple[str, ...], ...] = (
    ("label", "labels", "gold_label", "y", "class_label", "label_text"),
    ("class", "classes", "category", "intent", "sentiment", "target", "gold", "topic", "emotion", "stance", "tag", "coarse_label",
     "label_coarse", "polarity", "is_spam", "spam", "toxic", "domain_label", "ground_truth", "gold_standard"),
    ("rating", "stars", "overall", "score", "genre", "type", "kind", "language", "lang", "relation", "answer", "domain",
     "dialect", "output", "response", "completion", "result", "outcome", "verdict", "status", "department", "section"),
)
PAIRS: tuple[tuple[str, str], ...] = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("premise", "hypothesis"), ("question1", "question2"),
    ("text1", "text2"), ("text_a", "text_b"), ("text_1", "text_2"), ("sentence_a", "sentence_b"), ("anchor", "positive"),
    ("question", "sentence"), ("question", "passage"), ("query", "document"), ("query", "passage"), ("claim", "evidence"),
)
ID_NAMES = ("id", "_id", "uid", "uuid", "guid", "idx", "index", "example_id", "sample_id", "row_id", "sid", "task_id", "qid",
            "doc_id", "docid", "pid", "question_id", "case_id", "tweet_id", "review_id")
SPLIT_NAMES = ("split", "partition", "subset", "fold", "set")
MESSAGE_NAMES = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat")
RESPONSE_NAMES = ("response", "completion", "output", "answer", "target", "generation", "canonical_solution", "solution",
                  "summary", "reference")
TIME_NAMES = ("timestamp", "time", "date", "created_at", "created", "datetime", "added")
OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "system": ("system", "system_prompt"), "chosen": ("chosen",), "rejected": ("rejected",),
    "source": ("source", "url", "origin"), "group": ("group", "group_id", "cluster", "cluster_id"),
}
KNOWN_NAMES = frozenset(
    n for group in (*TEXT_NAMES, *LABEL_NAMES, *PAIRS, ID_NAMES, SPLIT_NAMES, MESSAGE_NAMES, RESPONSE_NAMES, TIME_NAMES,
                    *OTHER_NAMES.values()) for n in group
) | {"prompt", "instruction", "whence_id"}
_SPLIT_VALUES = frozenset({"train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval", "holdout",
                           "trainval", "unsupervised"})
_NONE = ("", "none", "None")
_TIME = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? |\d{4}-\d\d-\d\d([T ]|\Z)|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
SAMPLE = 2000


@dataclass(frozen=True)
class Guess:
    """Roles (role -> column) and, for people, why each was taken."""

    roles: Mapping[str, str]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Column:
    """What the values of a column look like. Lengths are in characters, over a spread sample of at most 2,000 rows."""

    name: str
    kind: str  # text, whole, number, bool, messages, other
    rows: int
    filled: int
    distinct: int
    mean_length: float
    words: float
    times: bool

    @property
    def key(self) -> str:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()
        return re.sub(r"[^a-z0-9]+", "_", words).strip("_") or words

    @property
    def constant(self) -> bool:
        return self.distinct < 2

    @property
    def label_like(self) -> bool:
        """Few distinct short values, each of which returns."""
        if self.kind not in ("text", "whole", "bool") or self.constant or self.times or not self.filled:
            return False
        most = min(1000, self.filled // 3) if self.kind == "text" else min(50, self.filled // 4)
        return self.distinct <= max(most, 2 if self.filled > 3 else 1) and (self.kind != "text" or self.mean_length <= 60)

    @property
    def prose(self) -> bool:
        """Text that could be what an example says."""
        return self.kind == "text" and not self.constant and not self.times and (
            self.words >= 2 or not self.label_like) and (self.distinct > 0.3 * self.filled or self.mean_length > 40)

    def __str__(self) -> str:
        what = {"text": "text", "whole": "whole numbers", "number": "numbers", "bool": "true/false"}.get(self.kind, self.kind)
        return f"'{self.name}' ({what}, {self.distinct:,} distinct values in {self.rows:,} rows)"


def guess_roles(table: pa.Table, *, given: Mapping[str, str] | None = None, path: str | None = None) -> Guess:
    """Roles of the columns of `table`, beginning with the `given` ones ("none" says that no column has a role).

    Raises BadInput, naming the candidates and the flags, where two columns are equally plausible for text or label, where a
    given column cannot have its role, and where no column could be a text.
    """
    asked = {r: c for r, c in (given or {}).items() if c not in _NONE}
    never = {r for r, c in (given or {}).items() if c in _NONE}
    columns = {n: _look(table, n) for n in table.column_names}
    for role, column in asked.items():
        _check(role, columns[column], table, path)
    roles = dict(asked)
    reasons = [f"{role}: column '{column}', as given" for role, column in asked.items()]
    free = [c for c in columns.values() if c.name not in asked.values() and not c.name.startswith("whence_")]

    def take(role: str, column: _Column, why: str) -> None:
        if role in roles or role in never:
            return
        roles[role] = column.name
        reasons.append(f"{role}: {why}")
        if column in free:
            free.remove(column)

    _small_roles(table, free, take)
    if not {"text", "prompt", "messages"} & set(roles):
        _example(table, free, take, path, labelled="label" in roles, preferred="chosen" in roles)
    elif "text" in asked and "pair" not in roles and columns[asked["text"]].key in dict(PAIRS):
        second = dict(PAIRS)[columns[asked["text"]].key]
        for c in [c for c in free if c.key == second and c.kind == "text"]:
            take("pair", c, f"column '{c.name}', the second of a pair")
    if "label" not in roles and "label" not in never:
        _label(free, take, path, statistics="text" in roles and not {"prompt", "messages"} & set(roles))
    return Guess(roles, tuple(reasons))


def split_column(table: pa.Table) -> str | None:
    """The column that says of each row which split it is of, or None."""
    for name in table.column_names:
        if name.lower() in SPLIT_NAMES and _holds_splits(table.column(name)):
            return str(name)
    return None


def _holds_splits(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return False
    values = [v for v in pc.unique(column).slice(0, 20).to_pylist() if v is not None]
    return bool(values) and len(values) < 20 and all(v.strip().lower() in _SPLIT_VALUES for v in values)


# -- looking ------------------------------------------------------------------------------------------------------------


def _look(table: pa.Table, name: str) -> _Column:
    column = table.column(name)
    kind = column.type
    rows, filled = table.num_rows, table.num_rows - column.null_count
    what = ("text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "whole" if pa.types.is_integer(kind)
            else "number" if pa.types.is_floating(kind) else "bool" if pa.types.is_boolean(kind) else "other")
    if what == "other" and (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_struct(kind.value_type):
        fields = {kind.value_type.field(i).name for i in range(kind.value_type.num_fields)}
        what = "messages" if {"role", "content"} <= fields or {"from", "value"} <= fields else "other"
    if what in ("other", "messages"):
        return _Column(name, what, rows, filled, filled, 0.0, 0.0, pa.types.is_temporal(kind))
    distinct = int(pc.count_distinct(column, mode="only_valid").as_py())
    if what == "number" and filled and distinct <= 50 and all(
        v is None or v != v or (abs(v) < 1e15 and float(v).is_integer()) for v in pc.unique(column).to_pylist()
    ):
        what = "whole"  # codes beside missing values come as 0.0, 1.0, NaN
    if what != "text":
        return _Column(name, what, rows, filled, distinct, 0.0, 0.0, False)
    step = max(1, rows // SAMPLE)
    sample = [v for v in column.take(pa.array(range(0, rows, step), pa.int64())).to_pylist() if v]
    count = max(1, len(sample))
    return _Column(name, what, rows, filled, distinct, sum(map(len, sample)) / count, sum(len(v.split()) for v in sample) / count,
                   bool(sample) and all(_TIME.match(v) for v in sample[:50]))


def _check(role: str, column: _Column, table: pa.Table, path: str | None) -> None:
    """Whether a given column can have its role."""
    kind = table.column(column.name).type
    if role in ("text", "pair") and column.kind != "text":
        raise BadInput(f"The column '{column.name}' is not text", path=path, given=str(kind),
                       legal=[n for n in table.column_names if pa.types.is_string(table.column(n).type)] or "a column of strings",
                       do=f"name another column with --{role}")
    if role == "label" and pa.types.is_nested(kind):
        raise BadInput(f"The labels in column '{column.name}' are not single values", path=path, given=str(kind),
                       legal="one label per example", do="name another column with --label, or keep one label of each row")
    if role == "id" and column.distinct < column.filled and column.kind in ("text", "whole"):
        values = pc.value_counts(table.column(column.name))
        twice = next(v for v in values.to_pylist() if v["counts"] > 1 and v["values"] is not None)
        raise BadInput(f"The column '{column.name}' does not identify rows: {twice['values']!r} stands {twice['counts']} times",
                       path=path, legal="each id once",
                       do="name another column with --id, or leave it out: rows get ids by content")


# -- guessing -----------------------------------------------------------------------------------------------------------


def _small_roles(table: pa.Table, free: list[_Column], take: Any) -> None:
    """Roles that nothing else is confused with: id, split, time, system, chosen, rejected, group, source."""
    split = split_column(table)
    for c in list(free):
        if c.name == split:
            take("split", c, f"column '{c.name}' ({c.distinct} splits)")
    for name in ID_NAMES:
        for c in [c for c in free if c.key == name.strip("_") and c.kind in ("text", "whole")]:
            if c.filled == c.rows == c.distinct and c.mean_length < 80:
                take("id", c, f"column '{c.name}' (each value once)")
    for c in list(free):
        if c.key in TIME_NAMES and (c.times or c.kind in ("whole", "number", "other")) and not c.constant:
            take("time", c, f"column '{c.name}'")
    for role, names in OTHER_NAMES.items():
        for c in [c for c in free if c.key in names and (c.kind in ("text", "messages") or role == "group")]:
            if role == "source" and (c.prose and any(o.key == "target" for o in free)):
                continue  # source and target: a text to text task
            take(role, c, f"column '{c.name}'")


def _example(table: pa.Table, free: list[_Column], take: Any, path: str | None, *, labelled: bool, preferred: bool) -> None:
    """What an example says: messages, or prompt and response, or a pair, or a text."""
    by = {c.key: c for c in reversed(free)}
    for c in list(free):
        if c.kind == "messages" and c.key in MESSAGE_NAMES:
            return take("messages", c, f"column '{c.name}' (lists of messages)")  # type: ignore[no-any-return]
    prompts = [n for n in ("instruction", "prompt") if n in by and by[n].kind in ("text", "messages")]
    outputs = [by[n] for n in RESPONSE_NAMES if n in by and by[n].kind in ("text", "messages")]
    if prompts:
        prompt = by[prompts[0]]
        take("prompt", prompt, f"column '{prompt.name}'")
        if prompt.key == "instruction" and "input" in by and by["input"].kind == "text":
            take("input", by["input"], f"column '{by['input'].name}', what the instruction is applied to")
        if outputs:
            take("response", outputs[0], f"column '{outputs[0].name}'")
        return None
    if preferred:  # chosen and rejected answers: the question, where there is one, is the prompt
        for c in [c for c in free if c.key in ("question", "query", "input", "context") and c.kind == "text"][:1]:
            take("prompt", c, f"column '{c.name}'")
        return None
    for asks in ("question", "query", "input", "source", "problem", "document", "article", "context"):
        if asks not in by:
            continue
        c = by[asks]
        answer = next((o for o in outputs if o is not c and o.prose and not o.label_like), None)
        if c.kind == "text" and c.prose and answer is not None and not labelled and not any(
            k in by and by[k].label_like for k in LABEL_NAMES[0]
        ):
            take("prompt", c, f"column '{c.name}'")
            return take("response", answer, f"column '{answer.name}' (mostly unique texts)")  # type: ignore[no-any-return]
    for first, second in PAIRS:
        if first in by and second in by and by[first].kind == by[second].kind == "text":
            take("text", by[first], f"column '{by[first].name}', the first of a pair")
            return take("pair", by[second], f"column '{by[second].name}', the second of a pair")  # type: ignore[no-any-return]
    for names in TEXT_NAMES:
        fit = [c for n in names for c in free if c.key == n and c.kind == "text" and not (c.label_like and c.words < 2)]
        fit = [c for c in fit if not c.constant or c.rows == 1] or [c for c in fit if len(fit) == 1]
        if fit:
            best = _longest(fit, path)
            return take("text", best, f"column '{best.name}' ({best.mean_length:.0f} characters on average)")  # type: ignore[no-any-return]
    return _text_by_values(table, free, take, path)


def _text_by_values(table: pa.Table, free: list[_Column], take: Any, path: str | None) -> None:
    texts = sorted((c for c in free if c.prose), key=lambda c: -c.mean_length)
    if not texts:
        texts = sorted((c for c in free if c.kind == "text" and not c.times and (c.rows <= 3 or not c.label_like)),
                       key=lambda c: -c.mean_length)
    if not texts and len([c for c in free if c.kind == "text"]) == 1:
        texts = [c for c in free if c.kind == "text"]
    if not texts:
        raise BadInput("No column looks like the text of an example", path=path, given=[str(c) for c in free] or "no columns",
                       legal="a column of strings", do="name it with --text COLUMN")
    if len(texts) >= 2 and texts[1].mean_length > 0.6 * texts[0].mean_length:
        first, second = sorted(texts[:2], key=lambda c: table.column_names.index(c.name))
        if _alike(table, first.name, second.name):
            take("text", first, f"column '{first.name}', the first of a pair (its words return in '{second.name}')")
            take("pair", second, f"column '{second.name}', the second of a pair")
            return
    best = _longest(texts, path)
    take("text", best, f"column '{best.name}', the longest text ({best.mean_length:.0f} characters on average)")


def _longest(fit: Sequence[_Column], path: str | None) -> _Column:
    order = sorted(fit, key=lambda c: -c.mean_length)
    if len(order) > 1 and order[1].mean_length > 0.6 * order[0].mean_length and order[1].prose:
        raise BadInput("Two columns could be the text", path=path,
                       given=[f"'{c.name}' ({c.mean_length:.0f} characters on average)" for c in order[:4]],
                       do=f"name one with --text {order[0].name} or --text {order[1].name}, and what is learned with --label")
    return order[0]


def _alike(table: pa.Table, first: str, second: str) -> bool:
    """Whether two texts of a row share more words than texts of different rows do."""
    rows = min(300, table.num_rows)
    a = [set(str(v or "").lower().split()) for v in table.column(first).slice(0, rows).to_pylist()]
    b = [set(str(v or "").lower().split()) for v in table.column(second).slice(0, rows).to_pylist()]

    def mean(pairs: Sequence[tuple[set[str], set[str]]]) -> float:
        return sum(len(x & y) / max(1, len(x | y)) for x, y in pairs) / max(1, len(pairs))

    if rows < 2:
        return False
    together = mean(list(zip(a, b, strict=True)))
    apart = mean(list(zip(a, b[1:] + b[:1], strict=True)))
    return together > 0.15 and together > 1.5 * apart


def _label(free: list[_Column], take: Any, path: str | None, *, statistics: bool) -> None:
    fits = [c for c in free if c.kind in ("text", "whole", "bool", "number") and c.filled]
    for name in LABEL_NAMES[0]:
        for c in [c for c in fits if c.key == name]:
            return take("label", c, f"column '{c.name}' ({c.distinct:,} distinct values in {c.rows:,} rows)")  # type: ignore[no-any-return]
    if not statistics:
        return None
    likely = [c for c in fits if c.label_like and c.key not in ID_NAMES]
    tiers = (
        [c for c in likely if c.key in LABEL_NAMES[1]],
        [c for c in likely if re.search(r"label|class|categor|target|intent|sentiment|gold", c.key)],
        [c for c in likely if c.key in LABEL_NAMES[2]],
        [c for c in likely if c.kind == "text"
         and not re.search(r"(^|_)id(s|x)?($|_)|asin|user|url|source|date|time|lang|split", c.key)],
        [c for c in likely if not re.search(r"(^|_)id(s|x)?($|_)|year|count|num|length|date|time|pop$|^[be]\d$", c.key)],
    )
    for depth, tier in enumerate(tiers):
        if depth == 3 and tier:
            # neither a text nor a number is named like a label: they compete
            tier = tier + [c for c in tiers[4] if c not in tier]
        if len(tier) > 1:
            coarse = [c for c in tier if "coarse" in c.key]
            tier = coarse if len(coarse) == 1 else tier
        if len(tier) > 1:
            raise BadInput("Several columns could be the label", path=path, given=[str(c) for c in tier[:6]],
                           do=f"name one with --label {tier[0].name} (or another), or say --label none")
        if tier:
            c = tier[0]
            return take("label", c, f"column '{c.name}' ({c.distinct:,} distinct values in {c.rows:,} rows)")  # type: ignore[no-any-return]
    # a column that calls itself the target but takes a value of its own in nearly each row: taken, and refused by classifiers
    named = [c for c in fits if c.key in LABEL_NAMES[1][:6] and c.kind != "text"]
    if len(named) == 1:
        take("label", named[0], f"column '{named[0].name}' ({named[0].distinct:,} distinct values in {named[0].rows:,} rows)")
    return None


def name_columns(table: pa.Table, asked: Mapping[str, str] | None = None) -> pa.Table:
    """Names for the columns of a table that has none (`column_1`, ...): by content, where that is clear.

    Becomes text and label; sentence1, sentence2 and label; or id, where whole numbers count the rows. Columns that are
    asked for by their number keep it.
    """
    if set((asked or {}).values()) & set(table.column_names):
        return table
    columns = {n: _look(table, n) for n in table.column_names}
    new: dict[str, str] = {}
    for c in columns.values():
        if c.kind == "whole" and c.filled == c.rows == c.distinct and c.rows > 2:
            values = table.column(c.name).to_pylist()
            if all(b > a for a, b in pairwise(values)):
                new.setdefault(c.name, "id")
                break
    try:
        guess = guess_roles(table.drop_columns(list(new)))
    except BadInput:
        return table.rename_columns([new.get(n, n) for n in table.column_names])
    pair = "pair" in guess.roles
    for role, column in guess.roles.items():
        if role in ("text", "pair", "label"):
            new[column] = {"text": "sentence1" if pair else "text", "pair": "sentence2", "label": "label"}[role]
    return table.rename_columns([new.get(n, n) for n in table.column_names])


# -- what a label may be ------------------------------------------------------------------------------------------------


def check_classification(pool: Pool) -> tuple[str, ...]:
    """Warnings, in words, about the labels of a pool; () where there is nothing to say.

    Raises BadInput where the labels cannot be classes: none at all, one value only, numbers that are measurements, or
    nearly a value of its own for each row. Raises NotCapable when no column has the role `label`.
    """
    values = pool.column("label")
    labels = pool.labels
    counts = labels.counts
    labelled = sum(counts.values())
    column = pool.roles["label"]
    do = "name the column of classes with --label"
    if not labelled:
        raise BadInput(f"No row has a label in column '{column}'", given=f"{len(pool):,} rows",
                       legal="two classes or more", do=do)
    if len(counts) == 1:
        raise BadInput(f"All labels in column '{column}' are the same", given=next(iter(counts)),
                       legal="two classes or more", do=do)
    fractions = [v for v in values if isinstance(v, float) and v == v and not v.is_integer()]
    if fractions and (len(counts) > 20 or len(counts) > labelled / 10):
        raise BadInput(f"The labels in column '{column}' are measurements, not classes", given=[f"{v:g}" for v in fractions[:3]],
                       legal="a few values that return", do=f"{do}, or divide the numbers into classes first")
    if labelled >= 6 and len(counts) > labelled / 2:
        raise BadInput(f"Nearly each row has a label of its own in column '{column}'",
                       given=f"{len(counts):,} different labels in {labelled:,} rows", legal="a few values that return", do=do)
    warnings = []
    if labelled < len(pool):
        warnings.append(f"{len(pool) - labelled:,} of {len(pool):,} rows have no label; they are left out where one is needed")
    single = [n for n, c in counts.items() if c == 1]
    if single:
        warnings.append(f"{len(single):,} of {len(counts):,} classes have one example only: {', '.join(single[:3])}")
    most, least = max(counts.values()), min(counts.values())
    if most > 20 * least:
        warnings.append(f"the largest class has {most:,} examples, the smallest {least:,}")
    folded: dict[str, list[str]] = {}
    for name in counts:
        folded.setdefault(re.sub(r"[\s_-]+", " ", name.strip().lower()), []).append(name)
    same = [names for names in folded.values() if len(names) > 1]
    if same:
        warnings.append(f"labels that differ only in case, spaces or dashes: {' and '.join(repr(n) for n in same[0])}")
    return tuple(warnings)
