"""`python -m whence` is the command `whence`."""

from __future__ import annotations

from whence.app.cli import main

if __name__ == "__main__":
    main()
