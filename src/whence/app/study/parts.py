"""Load the data and cut it into three parts that never mix: fit, validation, proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from whence.app.runs import Run
from whence.app.study.recipe import Recipe
from whence.core.context import Context
from whence.core.decision import Selection
from whence.core.errors import BadInput, NotCapable
from whence.core.pool import ID, PARENTS, SOURCE, Pool
from whence.core.step import Step, content_hash

VALID_SHARE, PROOF_SHARE = 0.15, 0.20
#: Fewer labelled rows than this cannot be divided into three parts that say anything.
LEAST = 10


@dataclass(frozen=True, eq=False)
class Parts:
    """`train` is all of the user's training data; `fit` and `valid` are its two parts; `proof` is used once, at the end.

    `planted` maps an id to what was planted there (None when nothing was); `truth` maps a flipped id to its true label.
    """

    train: Pool
    fit: Pool
    valid: Pool
    proof: Pool
    origin: str
    notes: tuple[str, ...]
    roles: tuple[Mapping[str, str], ...]
    quarantined: tuple[Mapping[str, str], ...]
    planted: Mapping[str, str] | None
    truth: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names of the training data; the numbering used everywhere in the study."""
        return self.train.labels.names


def digest(source: str) -> str:
    """Content digest of a file or folder (names, sizes and bytes); the name itself for built-in data."""
    if source.startswith("stdlib:") or "://" in source:
        import sys

        return f"{source}@{sys.version}"
    path = Path(source.split("#")[0])
    if not path.exists():
        return source
    hasher = xxhash.xxh3_128(source.partition("#")[2].encode())
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        hasher.update(file.name.encode())
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
    return hasher.hexdigest()


def rows_of(pool: Pool, rows: NDArray[np.int64], name: str) -> Pool:
    """A part of a pool by row numbers."""
    step = Step("part", {"name": name}, inputs=(pool.fingerprint,))
    taken = pool.take(Selection.of(pool, rows.tolist(), step=step, reason=f"not in the {name} part"))
    return Pool(taken.table, taken.roles, taken.lineage, name)


def load_parts(recipe: Recipe, run: Run, ctx: Context) -> Parts:
    """Read, check, plant and split. One step of the run."""
    inputs = {
        "train": digest(recipe.train),
        "test": recipe.test and digest(recipe.test),
        "text": recipe.text,
        "label": recipe.label,
        "limit": recipe.limit,
        "plant": recipe.plant,
        "seed": recipe.seed,
        "version": 2,
    }
    made = run.step("load", inputs, lambda: _load(recipe, ctx))
    roles = made["roles_of"]
    train = Pool(made["train"], roles, tuple(Step.from_dict(s) for s in made["lineage"]), made["train_name"])
    proof = Pool(made["proof"], made["proof_roles"], (), made["proof_name"])
    return Parts(
        train=train,
        fit=rows_of(train, made["fit_rows"], "fit"),
        valid=rows_of(train, made["valid_rows"], "validation"),
        proof=proof,
        origin=made["origin"],
        notes=tuple(made["notes"]),
        roles=tuple(made["roles"]),
        quarantined=tuple(made["quarantined"]),
        planted=made["planted"],
        truth=made["truth"],
    )


def _read(source: str, roles: Mapping[str, str], limit: int | None, name: str) -> Pool:
    from whence.core.read import load

    return load(source, roles=dict(roles), limit=limit, name=name)


def _load(recipe: Recipe, ctx: Context) -> dict[str, Any]:
    from whence.core.plant import plant
    from whence.core.roles import check_classification
    from whence.core.split import split

    asked = {role: column for role, column in (("text", recipe.text), ("label", recipe.label)) if column}
    train = _read(recipe.train, asked, recipe.limit, "train")
    notes = list(check_classification(train))
    quarantined = [{"where": f"{q.path}:{q.line}", "reason": q.reason, "raw": q.raw[:200]} for q in train.quarantined]
    train, dropped = _labelled(train)
    quarantined += dropped
    origin = "given" if recipe.test else "split"
    if len(train) < (LEAST if recipe.test else 2 * LEAST):
        raise BadInput(
            "There are too few labelled examples to study",
            path=recipe.train,
            given=f"{len(train)} with a label",
            legal=f"{LEAST} or more with --test, {2 * LEAST} or more without",
            do="give more rows",
        )
    if recipe.test:
        # the test file is read with the roles that the training file turned out to have, where it has those columns
        proof = _read_like(recipe.test, train, recipe, asked)
        quarantined += [{"where": f"{q.path}:{q.line}", "reason": q.reason, "raw": q.raw[:200]} for q in proof.quarantined]
        if "label" not in proof.roles:
            raise BadInput(
                "The test data has no labels, so nothing can be proven on it",
                path=recipe.test,
                given=f"columns {', '.join(proof.columns)}",
                legal=f"a label column, such as '{train.roles['label']}' of the training data",
                do="add the labels, or leave out --test: a part of the training data is then held back",
            )
        proof, dropped = _labelled(proof)
        quarantined += dropped
        theirs = proof.labels.names
        proof, unknown = _known_classes(proof, train)
        notes += unknown
        groups = _groups(train)
        _, valid = split(train, (1 - VALID_SHARE, VALID_SHARE), seed=recipe.seed, groups=groups)
        if len(proof) == 0:
            raise BadInput(
                "The test data has no example with a label that occurs in the training data",
                path=recipe.test,
                given=list(theirs)[:5] or "no labels",
                legal=list(train.labels.names)[:10],
                do="give test data of the same classes, or leave out --test: a part of the training data is then held back",
            )
    else:
        groups = _groups(train)
        share = PROOF_SHARE
        rest, proof = split(train, (1 - share, share), seed=recipe.seed, groups=groups)
        inside = {this: g for this, g in zip(train.ids, groups, strict=True)}
        proof = Pool(proof.table, proof.roles, (), "proof")
        train = Pool(rest.table, rest.roles, train.lineage, "train")
        _, valid = split(
            train, (1 - VALID_SHARE, VALID_SHARE), seed=recipe.seed + 1, groups=[inside[this] for this in train.ids]
        )
    planted: dict[str, str] | None = None
    truth: dict[str, str] = {}
    if recipe.plant:
        was_valid = set(valid.ids)
        train, proof_or_none, known = plant(train, recipe.plant, seed=recipe.seed, test=proof)
        proof = proof_or_none if proof_or_none is not None else proof
        planted, truth = dict(known.kinds), dict(known.true_labels)
        # a planted row stays in the part of the row that it was made from
        valid_ids = {
            this
            for this, parents in zip(train.ids, train.table.column("whence_parents").to_pylist(), strict=True)
            if this in was_valid or any(p in was_valid for p in parents or ())
        }
    else:
        valid_ids = set(valid.ids)
    train, proof = _apart(train, proof, {this for this, kind in (planted or {}).items() if kind == "leak"})
    if len(train.labels.names) < 2:
        raise NotCapable(
            "A study needs two classes or more", given=list(train.labels.names), do="name the label column with --label"
        )
    is_valid = np.array([this in valid_ids for this in train.ids])
    return {
        "train": train.table,
        "proof": proof.table,
        "fit_rows": np.flatnonzero(~is_valid),
        "valid_rows": np.flatnonzero(is_valid),
        "roles_of": dict(train.roles),
        "proof_roles": dict(proof.roles),
        "train_name": "train",
        "proof_name": "proof",
        "lineage": [s.to_dict() for s in train.lineage],
        "origin": origin,
        "notes": notes,
        "roles": [
            {
                "role": r,
                "column": c,
                "reason": train.table.schema.metadata.get(b"whence:role:" + r.encode(), b"").decode()
                if train.table.schema.metadata
                else "",
            }
            for r, c in train.roles.items()
        ],
        "quarantined": quarantined,
        "planted": planted,
        "truth": truth,
    }


def _read_like(source: str, train: Pool, recipe: Recipe, asked: Mapping[str, str]) -> Pool:
    """The test data under the training data's roles when it has those columns, else under its own."""
    wanted = {r: c for r, c in train.roles.items() if r in ("text", "label", "pair", "prompt", "response", "messages")}
    try:
        return _read(source, wanted, recipe.limit, "proof")
    except BadInput as error:
        if asked or "There is no column" not in str(error):
            raise
        return _read(source, {}, recipe.limit, "proof")


def _labelled(pool: Pool) -> tuple[Pool, list[dict[str, str]]]:
    """The examples that have a label; the others are put in quarantine with a reason."""
    codes = pool.labels.codes
    if (codes >= 0).all():
        return pool, []
    gone = [
        {
            "where": pool.table.column(SOURCE)[int(i)].as_py() or pool.ids[int(i)],
            "reason": "no label",
            "raw": pool.texts[int(i)][:200],
        }
        for i in np.flatnonzero(codes < 0)
    ]
    kept = np.flatnonzero(codes >= 0)
    return Pool(pool.table.take(pa.array(kept)), pool.roles, pool.lineage, pool.name, pool.quarantined), gone


def _known_classes(proof: Pool, train: Pool) -> tuple[Pool, list[str]]:
    """Test examples of classes that training never shows are set aside, with a note: no head can get them right."""
    names = set(train.labels.names)
    theirs = proof.labels
    known = np.array([theirs.names[c] in names for c in theirs.codes], dtype=bool)
    if known.all():
        return proof, []
    strange = sorted({theirs.names[c] for c in theirs.codes[~known]})
    note = (
        f"{int((~known).sum())} test examples have labels that the training data never shows ({', '.join(strange[:5])}); "
        "they are left out of the proof."
    )
    return Pool(proof.table.take(pa.array(np.flatnonzero(known))), proof.roles, proof.lineage, proof.name, proof.quarantined), [
        note
    ]


def _apart(train: Pool, proof: Pool, planted_leaks: set[str]) -> tuple[Pool, Pool]:
    """The same pools with no id in common: a proof row that training repeats gets the next free suffix, as a repeat would.

    The parents of planted leaks, which are proof rows, follow.
    """
    taken = {*train.ids, *proof.ids}
    new: dict[str, str] = {}
    for this in proof.ids:
        if this in train:
            stem, repeat = this.split("~")[0], 2
            while f"{stem}~{repeat}" in taken:
                repeat += 1
            new[this] = f"{stem}~{repeat}"
            taken.add(new[this])
    if not new:
        return train, proof
    parents = [
        None if before is None else [new.get(p, p) if this in planted_leaks else p for p in before]
        for this, before in zip(train.ids, train.table.column(PARENTS).to_pylist(), strict=True)
    ]
    return _with(train, PARENTS, parents), _with(proof, ID, [new.get(this, this) for this in proof.ids])


def _with(pool: Pool, column: str, values: list[Any]) -> Pool:
    at = pool.table.column_names.index(column)
    table = pool.table.set_column(at, pool.table.schema.field(column), pa.array(values, pool.table.schema.field(column).type))
    return Pool(table, pool.roles, pool.lineage, pool.name, pool.quarantined)


def _groups(pool: Pool) -> list[int]:
    """Cluster number of each example, so that near duplicates are not torn between parts."""
    from whence.kernels.minhash import near_pairs
    from whence.kernels.unionfind import clusters

    pairs = near_pairs(pool.texts, threshold=0.8, expand=False)
    return [int(g) for g in clusters(len(pool), pairs.a, pairs.b)]


def fingerprint(parts: Parts) -> str:
    """Names everything a later step depends on in the data."""
    return content_hash([parts.fit.fingerprint, parts.valid.fingerprint, parts.proof.fingerprint])
