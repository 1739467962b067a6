"""What a study is asked to do: every setting, checked before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from whence.core.errors import BadInput, UnknownName

BUDGETS = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)


@dataclass(frozen=True)
class Recipe:
    """The settings of a study.

    `train`, `test`: paths or built-in names; `text`, `label`: columns (guessed when None); `encoder`: a name or folder;
    `budgets`: shares of the training part that the room of selectors is tried at; `seeds`: how often what is random is
    repeated; `retrains`: half-set retrainings behind the linear datamodeling score; `plant`: known problems to plant.
    """

    train: str
    test: str | None = None
    text: str | None = None
    label: str | None = None
    encoder: str = "minilm"
    seed: int = 0
    seeds: int = 3
    budgets: tuple[float, ...] = BUDGETS
    limit: int | None = None
    plant: str | None = None
    retrains: int = 50
    metric: str = "accuracy"
    head_c: float | None = None

    def __post_init__(self) -> None:
        def whole(name: str, least: int) -> None:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise BadInput(f"--{name} must be a whole number of {least} or more", given=repr(value))

        for name in ("train", "test", "text", "label", "encoder", "plant", "metric"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name in ("train", "encoder", "metric")):
                raise BadInput(f"'{name}' must be text", given=repr(value), legal=f"{name}: TEXT")
        whole("seed", 0)
        whole("seeds", 1)
        whole("retrains", 0)
        if self.limit is not None:
            whole("limit", 1)
        if not self.budgets or any(isinstance(b, bool) or not isinstance(b, int | float) or not 0 < b <= 1 for b in self.budgets):
            raise BadInput(
                "--budgets must be shares of the training data",
                given=list(self.budgets),
                legal="numbers above 0 and up to 1, such as 0.05,0.25,1",
            )
        object.__setattr__(self, "budgets", tuple(sorted({*map(float, self.budgets), 1.0})))
        if self.metric not in ("accuracy", "macro-f1"):
            raise UnknownName("metric", self.metric, ("accuracy", "macro-f1"))
        c = self.head_c
        if c is not None and (isinstance(c, bool) or not isinstance(c, int | float) or not 0 < c < float("inf")):
            raise BadInput("--head-c must be a positive number", given=repr(c))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "budgets": list(self.budgets)}

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Recipe:
        """A recipe from a configuration file or a manifest. An unknown key is an error."""
        known = {f.name for f in fields(cls)}
        settings = {str(k).replace("-", "_"): v for k, v in given.items()}
        for key in settings:
            if key not in known:
                raise UnknownName("setting of a study", key, known)
        if "train" not in settings:
            raise BadInput("A study needs training data", legal="train: PATH", do="name the training file")
        if "budgets" in settings:
            if not isinstance(settings["budgets"], list | tuple):
                raise BadInput(
                    "'budgets' must be a list of shares", given=repr(settings["budgets"]), legal="such as [0.05, 0.25, 1]"
                )
            settings["budgets"] = tuple(settings["budgets"])
        return cls(**settings)
