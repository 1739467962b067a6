"""What a study leaves behind: pools and evidence as Parquet, what is kept and dropped as JSONL, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from whence.app.runs import Run, versions, write_table
from whence.app.study.parts import Parts
from whence.app.study.signals import NOISE, TARGETED
from whence.core.catalogue import find
from whence.core.evidence import Links, Scores
from whence.core.pool import ID, PARENTS, SOURCE, Pool
from whence.core.store import write_atomic
from whence.core.tables import scores_table

PART = "whence_part"
_SUSPECT = {1: "high", -1: "low"}  # which end of a signal is a warning
_MAP_ROWS = 20_000
_TEXT = 240

FILES = (
    ("manifest.json", "recipe, versions, seeds, timings"),
    ("pool.parquet", "every example with its id, where it came from and its part"),
    ("scores.parquet", "every signal of every training example"),
    ("links.parquet", "duplicates, leaks, influence and neighbours: the ledger"),
    ("kept.jsonl", "the training data that the recommendation keeps"),
    ("dropped.jsonl", "what it drops, each row with its reason"),
    ("review.jsonl", "rows to look at by hand, the most suspicious first"),
    ("report.html", "this report"),
)


def write_pool(folder: Path, parts: Parts) -> None:
    """`pool.parquet`: the user's columns, ours, and `whence_part` (fit, validation, proof)."""
    valid = set(parts.valid.ids)
    part = ["validation" if this in valid else "fit" for this in parts.train.ids]
    train, proof = _one_type(_plain(parts.train.table), _plain(parts.proof.table))
    tables = [
        train.append_column(PART, pa.array(part, pa.string())),
        proof.append_column(PART, pa.array(["proof"] * len(proof), pa.string())),
    ]
    write_table(folder / "pool.parquet", pa.concat_tables(tables, promote_options="permissive"))


def _one_type(train: pa.Table, proof: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Both tables with columns of one type: where the files disagree (a label 1 here and "1" there), the column becomes text."""
    for name in set(train.column_names) & set(proof.column_names):
        kinds = [t.schema.field(name) for t in (train, proof)]
        try:
            pa.unify_schemas([pa.schema([k]) for k in kinds], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            train, proof = (t.set_column(t.column_names.index(name), name, _as_text(t.column(name))) for t in (train, proof))
    return train, proof


def _as_text(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(
        [v if v is None or isinstance(v, str) else orjson.dumps(v, default=str).decode() for v in column.to_pylist()], pa.string()
    )


def _plain(table: pa.Table) -> pa.Table:
    """The table without metadata, and without the parts of an earlier study, whose pool.parquet may be studied again."""
    return table.drop_columns([c for c in (PART,) if c in table.column_names]).replace_schema_metadata(None)


def write_links(folder: Path, links: Mapping[str, Links]) -> None:
    """`links.parquet`: all links one under the other; `about` says which step they come from."""
    tables = []
    for name, found in links.items():
        table = found.to_arrow()
        for column in ("kind", "route", "unit", "method"):
            at = table.column_names.index(column)
            table = table.set_column(at, column, table.column(column).cast(pa.string()))
        tables.append(table.append_column("about", pa.array([name] * table.num_rows, pa.string())))
    if tables:
        write_table(folder / "links.parquet", pa.concat_tables(tables))


def write_decision(folder: Path, train: Pool, drop: Mapping[str, str], review: list[dict[str, str]] | None) -> None:
    """`kept.jsonl`, `dropped.jsonl` and, unless None, `review.jsonl` (both with `whence_reason`), each whole."""
    rows = train.table.drop_columns([PARENTS]).to_pylist()
    lines: dict[str, list[bytes]] = {"kept": [], "dropped": []}
    by_id = {}
    for row in rows:
        clean = {ID: row.pop(ID), SOURCE: row.pop(SOURCE), **row}
        by_id[clean[ID]] = clean
        if clean[ID] in drop:
            lines["dropped"].append(_line({**clean, "whence_reason": drop[clean[ID]]}))
        else:
            lines["kept"].append(_line(clean))
    if review is not None:
        lines["review"] = [_line({**by_id[r["id"]], "whence_reason": r["reason"]}) for r in review]
    for name, out in lines.items():
        write_atomic(folder / f"{name}.jsonl", b"".join(out))


def restored(folder: Path) -> set[str]:
    """Ids that a person brought back with `whence restore`; running the study again does not drop them again."""
    path = folder / "restored.jsonl"
    return {orjson.loads(line)[ID] for line in path.read_bytes().splitlines() if line} if path.exists() else set()


def _line(row: Mapping[str, Any]) -> bytes:
    return orjson.dumps(dict(row), default=str) + b"\n"


def leave(
    run: Run,
    parts: Parts,
    scores: Mapping[str, Scores],
    links: Mapping[str, Links],
    decision: Mapping[str, Any],
    payload: Mapping[str, Any],
) -> None:
    """Write everything. Each file is replaced whole, so a reader never sees half a run."""
    from whence.app.report import write_report

    write_pool(run.folder, parts)
    write_table(run.folder / "scores.parquet", scores_table(parts.train.ids, scores.values()))
    write_links(run.folder, links)
    back = restored(run.folder)
    write_decision(run.folder, parts.train, {k: v for k, v in decision["drop"].items() if k not in back}, decision["review"])
    write_report(payload, run.folder / "report.html")


def project(X: NDArray[Any], Y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first two principal components of X [n, d], and Y [m, d] in the same plane; signs fixed so that reruns agree."""
    centre = X.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov((X - centre).T.astype(np.float64)))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    return (X - centre) @ axes, (Y - centre) @ axes


def payload_of(
    run: Run, parts: Parts, scores: Mapping[str, Scores], links: Mapping[str, Links], study: Mapping[str, Any], X: Any, Xp: Any
) -> dict[str, Any]:
    """Everything the report shows, as JSON-like values."""
    decision, lds, curves = study["decision"], study["lds"], study["room"]
    train, proof = parts.train, parts.proof
    texts = {this: t for pool in (train, proof) for this, t in zip(pool.ids, pool.texts, strict=True)}
    labels = {
        this: parts_labels for pool in (train, proof) for this, parts_labels in zip(pool.ids, _label_texts(pool), strict=True)
    }

    def row(this: str) -> dict[str, Any]:
        return {"id": this, "text": texts.get(this, "")[:1000], "label": labels.get(this, "")}

    valid = set(parts.valid.ids)
    rng = np.random.default_rng(0)
    n_train = min(len(train), int(_MAP_ROWS * 0.8))
    keep = np.sort(rng.permutation(len(train))[:n_train])
    keep_p = np.sort(rng.permutation(len(proof))[: _MAP_ROWS - n_train])
    xy, xyp = project(X, Xp)
    ids = [train.ids[i] for i in keep] + [proof.ids[i] for i in keep_p]
    planted = parts.planted or {}
    columns = [
        {
            "key": n,
            "name": n,
            "high": s.high,
            "unit": s.unit,
            "doc": find(n, verb="score")[0].card.line,
            "method": s.step.method,
            "suspect": _SUSPECT.get(NOISE.get(n, -1 if n in TARGETED else 0)),
        }
        for n, s in scores.items()
    ]
    counts = {n: len(links[n]) for n in ("exact", "near", "semantic") if n in links}
    counts["leaked"] = len(study["leaks"])
    recommendation = {
        "sentence": decision["sentence"],
        "detail": decision["detail"],
        "verdict": decision["verdict"],
        "drop": len(decision["drop"]),
        "keep": len(train) - len(decision["drop"]),
        "expected": decision["expected"],
        "proven": decision["proven"],
        "reasons": _reasons(decision["drop"]) or [{"reason": "listed for review", "count": len(decision["review"])}],
    }
    influence = scores.get("influence")
    return {
        "title": f"Study of {Path(run.recipe['train']).name}",
        "run": run.folder.name,
        "command": " ".join(study["command"]),
        "created": study["created"],
        "version": study["version"],
        "seed": run.recipe["seed"],
        "data": {
            "train": {
                "name": Path(run.recipe["train"]).name,
                "n": len(train),
                "fit": len(parts.fit),
                "quarantined": len(parts.quarantined),
            },
            "valid": {"n": len(parts.valid)},
            "proof": {"n": len(proof)},
            "origin": parts.origin,
            "classes": _classes(parts),
            "roles": list(parts.roles),
            "quarantined": list(parts.quarantined)[:200],
            "encoder": study["encoder"],
            "notes": list(parts.notes) + study["notes"],
        },
        "recommendation": recommendation,
        "checks": study["checks"],
        "duplicates": {"counts": counts, "pairs": _pairs(links, row), "leak_effect": study["leak_effect"]},
        "signals": {"columns": columns, "correlation": _correlation(scores, train.ids), "found": study["found"]},
        "examples": {
            "id": ids,
            "text": [texts[i][:_TEXT] for i in ids],
            "label": [labels[i] for i in ids],
            "part": ["validation" if i in valid else "train" for i in ids[: len(keep)]] + ["proof"] * len(keep_p),
            "x": [*_round(xy[keep, 0]), *_round(xyp[keep_p, 0])],
            "y": [*_round(xy[keep, 1]), *_round(xyp[keep_p, 1])],
            "dropped": [decision["drop"].get(i) for i in ids],
            "planted": [planted.get(i) for i in ids],
            "scores": {n: _column(s, ids) for n, s in scores.items()},
            "projection": "PCA",
            "total": len(train) + len(proof),
        },
        "influence": None
        if influence is None
        else {
            "key": "influence",
            "lds": lds,
            "contrast": [c for c in lds["contrast"] if c.get("lds") is not None],
            "helpful": influence.top(12),
            "harmful": influence.top(12, highest=False),
            "unit": influence.unit,
            "high": influence.high,
            "rows": {this: row(this) for this in (*influence.top(12), *influence.top(12, highest=False))},
        },
        "curves": curves,
        "traces": _traces(study["wrong"], links, row),
        "arena": [],
        "timings": run.steps,
        "versions": versions(),
        "files": [{"name": n, "what": w} for n, w in FILES],
    }


def _label_texts(pool: Pool) -> list[str]:
    labels = pool.labels
    return [labels.names[c] if c >= 0 else "" for c in labels.codes]


def _round(values: Any) -> list[float]:
    return [round(float(v), 4) for v in values]


def _column(scores: Scores, ids: list[str]) -> list[float | None]:
    values, known = scores.aligned(ids)
    return [float(f"{v:.4g}") if k else None for v, k in zip(values, known, strict=True)]


def _classes(parts: Parts) -> list[dict[str, Any]]:
    fit, valid, proof = (pool.labels.counts for pool in (parts.fit, parts.valid, parts.proof))
    return [{"name": n, "train": fit.get(n, 0), "valid": valid.get(n, 0), "proof": proof.get(n, 0)} for n in parts.names]


def _reasons(drop: Mapping[str, str]) -> list[dict[str, Any]]:
    kinds: dict[str, int] = {}
    for reason in drop.values():
        kind = "label looks wrong" if "looks wrong" in reason else reason.split(" of ")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    return [{"reason": k, "count": v} for k, v in sorted(kinds.items(), key=lambda kv: -kv[1])]


def _pairs(links: Mapping[str, Links], row: Any, most: int = 150) -> list[dict[str, Any]]:
    out = []
    for name in ("leak-exact", "leak-near", "leak-semantic", "exact", "near", "semantic"):
        if name not in links:
            continue
        found = links[name]
        order = np.argsort(-found.weight, kind="stable")[: most if name.startswith("leak") else most // 3]
        for i in order:
            spans = orjson.loads(found.notes[i]) if found.notes and found.notes[i] else []
            out.append(
                {
                    "kind": name.removeprefix("leak-"),
                    "scope": "leak" if name.startswith("leak") else "train",
                    "a": row(found.heads[found.head[i]]),
                    "b": row(found.tails[found.tail[i]]),
                    "similarity": round(float(found.weight[i]), 4),
                    "spans": spans,
                }
            )
    return out


def _correlation(scores: Mapping[str, Scores], ids: tuple[str, ...]) -> dict[str, Any]:
    """Spearman correlation between signals, over the examples that both have."""
    from whence.kernels.ranking import spearman

    keys = list(scores)
    columns = {k: scores[k].aligned(ids) for k in keys}
    matrix: list[list[float | None]] = [[None] * len(keys) for _ in keys]
    for i, a in enumerate(keys):
        for j, b in enumerate(keys[: i + 1]):
            both = columns[a][1] & columns[b][1]
            u, v = columns[a][0][both], columns[b][0][both]
            if len(u) > 2 and np.ptp(u) > 0 and np.ptp(v) > 0:
                matrix[i][j] = matrix[j][i] = round(float(spearman(u, v)), 3)
    return {"keys": keys, "matrix": matrix}


def _traces(wrong: list[dict[str, Any]], links: Mapping[str, Links], row: Any, most: int = 200) -> list[dict[str, Any]]:
    if "influence" not in links:
        return []
    near = links.get("embedding-similarity")
    out = []
    for case in wrong[:most]:
        partners = links["influence"].of_head(case["id"])
        pushed = [{**row(t), "weight": round(w, 5)} for t, w in partners if w < 0][:6]
        against = [{**row(t), "weight": round(w, 5)} for t, w in partners if w > 0][:6]
        near_rows = [] if near is None else sorted(near.of_head(case["id"]), key=lambda p: -p[1])[:5]
        out.append(
            {
                **row(case["id"]),
                **case,
                "pushed": pushed,
                "against": against,
                "neighbours": [{**row(t), "similarity": round(w, 4)} for t, w in near_rows],
            }
        )
    return out
