"""Where the checkout is. Everything here writes into it, so an installed wheel is refused."""

from __future__ import annotations

from pathlib import Path

from whence.core.errors import BadInput


def checkout() -> Path:
    """The root of the checkout that this package runs from. Raises BadInput when it runs from elsewhere."""
    root = Path(__file__).resolve().parents[4]
    if not (root / "pyproject.toml").is_file() or not (root / "src" / "whence").is_dir():
        raise BadInput("This command works on a checkout of Whence, and this is an installed copy", given=root,
                       do="clone the repository and install it with pip install -e '.[dev]'")
    return root
