"""Configuration files: YAML, or TOML by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whence.core.errors import BadInput


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a file, as a mapping. Raises BadInput for a missing file, a broken one, or one that is no mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput("There is no such configuration file", path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The configuration cannot be read: {error}", path=path) from None
    if path.suffix == ".toml":
        import tomllib

        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"Not valid TOML: {error}", path=path) from None
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadInput(
            f"Not valid YAML: {getattr(error, 'problem', error)}", path=path, line=None if mark is None else mark.line + 1
        ) from None
    if not isinstance(found, dict):
        raise BadInput(
            "A configuration is a mapping of settings",
            path=path,
            given=type(found).__name__,
            legal="lines such as `train: data.jsonl`",
        )
    return found
