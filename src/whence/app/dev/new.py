"""`whence dev new score/difficulty/NAME`: the two files that a new method is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from whence.app.dev.place import checkout
from whence.core.errors import BadInput

_METHOD = '''"""{line}

PAPER: authors, title, year, arXiv id. Say where this differs from the paper and from its code, or delete this line.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

{imports}


@method
class {cls}:
    """{line}"""

    card: ClassVar[Card] = Card(
        line="{line}",
        papers=(Paper("TITLE", "AUTHORS", 2026, "arXiv:0000.00000"),),
        needs=({need},),
        cost="linear in examples",
    )

    power: float = param(1.0, "Exponent of the distance; no unit.", gt=0)

{call}


def {function}(vectors: NDArray[np.float32], power: float) -> NDArray[np.float64]:
    """The arithmetic: vectors [n, d] to values [n], the Euclidean length of each to this power."""
    return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=1) ** power)
'''

_TEST = '''"""Oracle for `{module}`: a value worked by hand."""

from __future__ import annotations

import numpy as np

from {module} import {cls}, {function}


def test_a_value_worked_by_hand() -> None:
    got = {function}(np.array([[3.0, 4.0], [0.0, 2.0]], dtype=np.float32), 2.0)
    np.testing.assert_allclose(got, [25.0, 4.0])


def test_defaults_are_the_papers() -> None:
    assert {cls}().power == 1.0
'''


@dataclass(frozen=True)
class _Kind:
    need: str
    imports: tuple[str, ...]
    call: str


_COMMON = ("from whence.core.card import Card, Paper", "from whence.core.context import Context",
           "from whence.core.method import method, param, step_of", "from whence.core.pool import Pool")
_EVIDENCE = "from whence.core.evidence import "
_DECISION = "from whence.core.decision import Selection"
_OBSERVER = "from whence.models.observe import Observer"

_KINDS = {
    "score": _Kind("embeddings", (_EVIDENCE + "Scores", _OBSERVER), '''
    def __call__(self, pool: Pool, observer: Observer, ctx: Context, *, reference: Pool | None = None) -> Scores:
        """One value per example; high means HIGH."""
        values = {function}(observer.embeddings(pool), self.power)
        return Scores.of("{name}", pool, values, high="HIGH", unit="UNIT", step=step_of(self, inputs=(pool.fingerprint,)))'''),
    "select": _Kind("embeddings", (_DECISION, _OBSERVER), '''
    def __call__(
        self, pool: Pool, observer: Observer, ctx: Context, *, budget: int, reference: Pool | None = None
    ) -> Selection:
        """`budget` ids in order of choice, the highest value first."""
        values = {function}(observer.embeddings(pool), self.power)
        rows = np.argsort(-values, kind="stable")[:budget]
        step = step_of(self, inputs=(pool.fingerprint,))
        return Selection.of(pool, rows, step=step, reason=f"not among the {{budget}} chosen by {name}")'''),
    "trace": _Kind("embeddings", (_EVIDENCE + "Links", _OBSERVER), '''
    def __call__(self, pool: Pool, queries: Pool, observer: Observer, ctx: Context, *, top: int | None = 20) -> Links:
        """Links question -> training example; the weight is UNIT."""
        values = {function}(observer.embeddings(pool), self.power)
        best = np.argsort(-values, kind="stable")[:top]
        head, tail = np.repeat(np.arange(len(queries)), len(best)), np.tile(best, len(queries))
        return Links.between(queries, pool, head, tail, values[tail], kind="attributed", route="weights", high="HIGH",
                             unit="UNIT", step=step_of(self, inputs=(pool.fingerprint, queries.fingerprint)))'''),
}


def new(wanted: str) -> list[Path]:
    """Write the two files of a new method into this checkout; returns what was written. Raises BadInput."""
    return write(checkout(), wanted)


def plan(wanted: str) -> dict[str, str]:
    """Path under the checkout -> content of the two files of a new method. `wanted` is VERB/FAMILY/NAME.

    Raises BadInput when the id is not of that shape or there is no template for the verb.
    """
    parts = wanted.strip("/").replace("-", "_").split("/")
    if len(parts) != 3 or not all(re.fullmatch(r"[a-z][a-z0-9_]*", part) for part in parts):
        raise BadInput("A method's id has three parts", given=wanted,
                       legal="VERB/FAMILY/NAME in lower case, like score/difficulty/el2n")
    verb, family, name = parts
    if verb not in _KINDS:
        raise BadInput(f"There is no template for '{verb}'", legal=sorted(_KINDS), do="copy a method of that verb")
    kind, module = _KINDS[verb], f"whence.{verb}.{family}.{name}"
    words = {
        "cls": "".join(part.capitalize() for part in name.split("_")), "function": f"{name}_values", "module": module,
        "name": name.replace("_", "-"), "need": f'"{kind.need}"',
        "line": f"SAY in one sentence what {name.replace('_', '-')} gives.",
        "imports": "\n".join(sorted((*_COMMON, *kind.imports))),
    }
    words["call"] = kind.call.format(**words).strip("\n")
    return {
        f"src/whence/{verb}/{family}/{name}.py": _METHOD.format(**words),
        f"tests/{verb}/{family}/test_{name}.py": _TEST.format(**words),
    }


def write(root: Path, wanted: str) -> list[Path]:
    """Write the two files. Raises BadInput rather than overwrite one."""
    files = {root / name: text for name, text in plan(wanted).items()}
    for path in files:
        if path.exists():
            raise BadInput("There is such a file already", path=path, do="choose another name")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    family = root / "src" / "whence" / Path(*wanted.strip("/").replace("-", "_").split("/")[:2]) / "__init__.py"
    if not family.exists():
        family.write_text('"""Every method here takes SOMETHING and returns SOMETHING. Start with NAME."""\n', encoding="utf-8")
        return [*files, family]
    return list(files)
