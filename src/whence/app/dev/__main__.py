"""`python -m whence.app.dev generate [--check] | new VERB/FAMILY/NAME | lock | warm`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from whence.app.dev import generate, lock, new, warm
from whence.app.dev.place import checkout
from whence.core.errors import WhenceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m whence.app.dev", description="Commands for developers of Whence.")
    commands = parser.add_subparsers(dest="command", required=True)
    pages = commands.add_parser("generate", help="write the generated pages of docs/")
    pages.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    fresh = commands.add_parser("new", help="write a method and its test from a template")
    fresh.add_argument("id", help="VERB/FAMILY/NAME, like score/difficulty/margin")
    commands.add_parser("lock", help="write constraints.txt from this environment")
    commands.add_parser("warm", help="compile the kernels now")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except WhenceError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _run(given: argparse.Namespace) -> int:
    if given.command == "warm":
        for name, seconds in warm.warm():
            print(f"{name}: {seconds:.1f} s")
        return 0
    root = checkout()
    if given.command == "generate" and given.check:
        stale = generate.differences(root / "docs")
        for name in stale:
            print(f"docs/{name} differs from the code")
        print(f"{len(stale)} generated pages differ: run make generate" if stale else "Generated pages are current")
        return 1 if stale else 0
    if given.command == "generate":
        changed = generate.write(root / "docs")
        print("\n".join([*(f"docs/{name}" for name in changed), f"{len(changed)} pages written"]))
    elif given.command == "new":
        for path in new.write(root, given.id):
            print(path.relative_to(root))
        print("Fill in the words in capitals, then: make generate test")
    else:
        print(lock.write(root).relative_to(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
