"""The cache on disk: private, or not used at all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compile
from gossamer.runtime.codegen import cache


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    chosen = tmp_path / "kernels"
    monkeypatch.setenv("GOSSAMER_CACHE", str(chosen))
    cache.folder.cache_clear()
    yield chosen
    cache.folder.cache_clear()


def test_the_environment_names_the_folder(place: Path) -> None:
    assert cache.folder() == place
    assert place.stat().st_mode & 0o777 == 0o700


def test_the_default_is_the_users_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.delenv("GOSSAMER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "gossamer"


def test_what_is_written_is_read_again(place: Path) -> None:
    assert cache.read("kernel.o") is None
    cache.write("kernel.o", b"code")
    assert cache.read("kernel.o") == b"code"
    assert [path.name for path in place.iterdir()] == ["kernel.o"]


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 33, 35])
def test_what_was_cut_short_counts_as_not_kept(place: Path, cut: int) -> None:
    cache.write("kernel.o", b"code")
    whole = (place / "kernel.o").read_bytes()
    (place / "kernel.o").write_bytes(whole[:cut])
    assert cache.read("kernel.o") is None


def test_a_flipped_bit_anywhere_counts_as_not_kept(place: Path) -> None:
    cache.write("kernel.o", b"code")
    whole = (place / "kernel.o").read_bytes()
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 1 << index % 8
        (place / "kernel.o").write_bytes(damaged)
        assert cache.read("kernel.o") is None


def test_a_damaged_object_is_made_anew(place: Path, model: Any) -> None:
    """In a process that has not loaded it: what was loaded stays."""
    small = model("(float[N, 11] x) => (float[N, 5] y) { y = MatMul(x, w) }", w=np.ones((11, 5)))
    (place.parent / "m.onnx").write_bytes(small.SerializeToString())
    code = (
        "import sys, numpy as np, gossamer.runtime as r\n"
        "s = r.compile(sys.argv[1], threads=1, engine='gossamer')\n"
        "assert (s.run(None, {'x': np.ones((2, 11), np.float32)})[0] == 11).all()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def compile_elsewhere() -> None:
        command = [sys.executable, "-c", code, str(place.parent / "m.onnx")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr

    compile_elsewhere()
    objects = {path: path.read_bytes() for path in place.glob("*.o")}
    assert objects
    for number, (path, content) in enumerate(objects.items()):
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        path.write_bytes(content[:middle] if number % 2 else changed)
    compile_elsewhere()
    assert {path: path.read_bytes() for path in place.glob("*.o")} == objects


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_not_used(place: Path, mode: int) -> None:
    place.mkdir()
    place.chmod(mode)
    (place / "kernel.o").write_bytes(b"not ours")
    assert cache.folder() is None
    assert cache.read("kernel.o") is None
    cache.write("other.o", b"code")
    assert not (place / "other.o").exists()


def test_a_folder_of_somebody_else_is_not_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)
    assert cache.folder() is None


@pytest.mark.parametrize("kind", ["file", "inside a file"])
def test_without_a_folder_models_still_compile(place: Path, model: Any, kind: str) -> None:
    if kind == "file":
        place.write_text("in the way")
    else:
        place.parent.rmdir()
        place.parent.write_text("in the way")
    assert cache.folder() is None
    small = model("(float[N, 9] x) => (float[N, 3] y) { y = MatMul(x, w) }", w=np.ones((9, 3)))
    x = np.ones((2, 9), np.float32)
    np.testing.assert_array_equal(compile(small).run(None, {"x": x})[0], np.full((2, 3), 9))


def test_a_full_disk_costs_only_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    cache.write("kernel.o", b"code")
    assert cache.read("kernel.o") is None
    assert not list(place.iterdir())
