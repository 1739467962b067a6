"""Files of a model: where they are on this machine, and whether they are the ones they should be."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

import xxhash

from whence.core.context import cache_folder
from whence.core.errors import BadInput, Unverified
from whence.core.store import write_atomic

HUB_SECONDS = 3.0
KINDS = (".json", ".safetensors", ".txt", ".model")
NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
WANTED = (*NEEDED, "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
          "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def sha256(path: Path) -> str:
    """SHA-256 of a file, remembered by (path, size, time of change) in the cache folder so that it costs nothing again."""
    path = path.resolve()
    stat = path.stat()
    seen = [str(path), stat.st_size, stat.st_mtime_ns]
    note = cache_folder() / "sha256" / f"{xxhash.xxh3_128_hexdigest(str(path).encode())}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["seen"] == seen:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not seen before, or a damaged note: the file is read again
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with contextlib.suppress(BadInput, OSError):  # a cache folder that cannot be written only costs time
        write_atomic(note, json.dumps({"seen": seen, "sha256": digest}).encode())
    return digest


def verify(path: Path, expected: str) -> str:
    """The SHA-256 of a file. Raises Unverified when it is not the expected one."""
    found = sha256(path)
    if found != expected:
        raise Unverified("These weights are not the expected ones, so they were not loaded", path=path, given=f"SHA-256 {found}",
                         legal=expected, do="remove this copy and install or download it again")
    return found


def folder_digest(folder: Path) -> str:
    """128-bit hash of what a model folder holds: names and SHA-256 of its weights, tokenizer and settings."""
    hasher = xxhash.xxh3_128()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in KINDS and inside.parts[0] not in ("onnx", "openvino") and path.is_file():
            hasher.update(f"{inside.as_posix()}\n{sha256(path)}\n".encode())
    return hasher.hexdigest()


def hub_cache() -> Path:
    """Where Hugging Face keeps downloads: HF_HUB_CACHE, else HF_HOME/hub, else the user's cache folder."""
    if own := os.environ.get("HF_HUB_CACHE"):
        return Path(own).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface" / "hub"


def cached(repo: str, needed: tuple[str, ...] = NEEDED) -> Path | None:
    """The newest snapshot of a hub model on this machine that has the needed files, main first. No network."""
    home = hub_cache() / f"models--{repo.replace('/', '--')}"
    try:
        main = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        main = ""
    try:
        snapshots = sorted((home / "snapshots").iterdir(), key=lambda p: (p.name == main, p.stat().st_mtime), reverse=True)
    except OSError:
        return None
    return next((s for s in snapshots if all((s / name).is_file() for name in needed)), None)


def offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) asks for no network."""
    values = (os.environ.get(name, "").strip().lower() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value in ("1", "true", "yes", "on") for value in values)


def reachable(seconds: float = HUB_SECONDS) -> bool:
    """Whether the hub answers within this time.

    Looking up a name can block past any timeout, so a thread asks that may be left behind.
    """
    if offline():
        return False
    answered = threading.Event()
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, ValueError):
            return

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(seconds)


def download(repo: str) -> Path | None:
    """Fetch the files of a hub model, or None where the hub cannot be reached. Raises BadInput when it has no such model."""
    if not reachable():
        return None
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        return None
    try:
        return Path(snapshot_download(repo, allow_patterns=[*WANTED, "*_*/config.json", "*_*/model.safetensors"],
                                      etag_timeout=HUB_SECONDS))
    except RepositoryNotFoundError:
        raise BadInput(f"The hub has no model '{repo}'", do="check the name, or give a folder") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


def read_json(path: Path) -> dict[str, object]:
    """A JSON object from a file of a model. Raises BadInput naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"Cannot read this file of a model: {error}", path=path) from None
    if not isinstance(value, dict):
        raise BadInput("This file of a model must hold a JSON object", path=path)
    return value


def modules_of(folder: Path) -> list[tuple[str, str]]:
    """(kind, path) of each module that modules.json lists; empty where there is no such file."""
    try:
        found = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise BadInput(f"Cannot read this file of a model: {error}", path=folder / "modules.json") from None
    rows = [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
    return [(str(m.get("type", "")).rsplit(".", 1)[-1], str(m.get("path", ""))) for m in rows]
