"""Duplicates within the training data, and leaks between training data and proof."""

from __future__ import annotations

from typing import Any

import numpy as np

from whence.app.runs import Run
from whence.app.study.parts import Parts, fingerprint
from whence.app.study.recipe import Recipe
from whence.core.catalogue import build
from whence.core.context import Context
from whence.core.errors import NotCapable
from whence.core.evidence import Links
from whence.core.method import params_of
from whence.core.tables import links_of
from whence.models.observe import Observer

FINDERS = ("exact", "near", "semantic")
_SPAN_PAIRS = 2000  # pairs whose matching spans are written out


def duplicates(parts: Parts, recipe: Recipe, observer: Observer, ctx: Context, run: Run) -> dict[str, Links]:
    """Links by finder (`exact`, `near`, `semantic`) within the training data, and `leak-...` from proof to training data."""
    inputs = {"data": fingerprint(parts), "train": parts.train.fingerprint, "by": observer.encoder.fingerprint,
              "methods": [[n, params_of(build(n, verb="curate"))] for n in FINDERS], "version": 1}
    made = run.step("duplicates", inputs, lambda: _find(parts, observer, ctx))
    return {name: links_of(table) for name, table in made.items() if name not in ("refused",)}


def _find(parts: Parts, observer: Observer, ctx: Context) -> dict[str, Any]:
    out: dict[str, Any] = {"refused": {}}
    with ctx.task("duplicates", 2 * len(FINDERS)) as advance:
        for name in FINDERS:
            finder = build(name, verb="curate")
            for against in (None, parts.train):
                pool = parts.train if against is None else parts.proof
                key = name if against is None else f"leak-{name}"
                try:
                    links = finder(pool, ctx, observer=observer, against=against)
                except NotCapable as error:
                    out["refused"][key] = str(error)
                else:
                    out[key] = with_spans(pool, parts.train, links).to_arrow()
                advance()
    return out


def with_spans(pool: Any, other: Any, links: Links) -> Links:
    """The same links, with the matching character spans of the strongest pairs as notes ([[l0,l1,r0,r1],...])."""
    import orjson

    from whence.kernels.shingles import matching_spans

    if links.unit == "cosine" or len(links) == 0:
        return links
    notes: list[str] = [""] * len(links)
    for i in np.argsort(-links.weight, kind="stable")[:_SPAN_PAIRS]:
        left, right = pool.texts[links.head[i]], other.texts[links.tail[i]]
        notes[int(i)] = orjson.dumps(matching_spans(left[:20000], right[:20000])).decode()
    return Links(links.heads, links.tails, links.head, links.tail, links.weight, links.kind, links.route, links.high, links.unit,
                 links.step, tuple(notes))


def leaked(links: dict[str, Links]) -> dict[str, str]:
    """Proof ids that training data repeats exactly or nearly: id -> how. Semantic pairs are shown but not counted as leaks."""
    out: dict[str, str] = {}
    for name in ("leak-near", "leak-exact"):
        if name in links:
            for h, t, w in zip(links[name].head, links[name].tail, links[name].weight, strict=True):
                how = "equal to" if name == "leak-exact" else f"near copy (Jaccard {w:.2f}) of"
                out[links[name].heads[h]] = f"{how} {links[name].tails[t]}"
    return out
