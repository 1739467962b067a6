"""The store: an entry is complete or absent, whoever writes and whenever they are killed."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import numpy as np
import pytest

from whence.core.errors import BadInput
from whence.core.store import Store, disk_error, write_atomic


def test_once_computes_once(tmp_path: Path) -> None:
    store, calls = Store(tmp_path), []

    def make() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.arange(3.0), "y": np.eye(2, dtype=np.int32)}

    for _ in range(2):
        found = store.once({"what": "test", "k": 1}, make, note={"cost": 2})
        assert found["x"].tolist() == [0, 1, 2] and found["y"].dtype == np.int32
    assert len(calls) == 1
    store.once({"what": "test", "k": 2}, make)
    assert len(calls) == 2


def test_a_damaged_entry_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("ab12", {"x": np.arange(5)}, {"n": 5})
    assert store.has("ab12") and store.note("ab12") == {"n": 5} and store.read("other") is None and store.note("other") == {}
    (store.path("ab12") / "x.npy").write_bytes(b"\x93NUMPY broken")
    assert store.read("ab12") is None and not store.has("ab12")


def test_an_object_array_is_not_unpickled(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.path("cd34").mkdir(parents=True)
    np.save(store.path("cd34") / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert store.read("cd34") is None


def test_the_first_of_two_writers_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    threads = [threading.Thread(target=store.write, args=("ef56", {"x": np.full(1000, i)})) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    found = store.read("ef56")
    assert found is not None and len(set(found["x"].tolist())) == 1
    assert [p.name for p in store.path("ef56").parent.iterdir()] == ["ef56"], "nothing half written stays"


def test_write_atomic_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "x.json"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(BadInput, match="free some disk space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and len(list(path.parent.iterdir())) == 1


def test_disk_errors_in_words() -> None:
    assert "may write to" in str(disk_error(PermissionError(errno.EACCES, "Permission denied"), Path("x")))
