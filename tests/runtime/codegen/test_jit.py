"""Compiling, the cache, and loading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer.runtime.codegen import cache, jit
from gossamer.runtime.codegen.builder import I64
from gossamer.runtime.codegen.kernel_builder import KernelBuilder, write_kernel
from gossamer.runtime.codegen.target import target
from gossamer.runtime.signature import Output, Signature

HOST = target("host")


def adding(number: int) -> str:
    """A kernel that adds a number to an integer in memory."""

    def body(b: KernelBuilder) -> None:
        place = b.argument("place")
        b.store(b.load(place, I64) + number, place)

    return write_kernel(Signature("test", (Output("place", "int64", 1),), ()), HOST, body)


def call(address: int, value: int) -> int:
    memory = np.array([value])
    arguments = np.array([memory.ctypes.data])
    jit.callable_kernel(address)(arguments.ctypes.data, 0, 1)
    return int(memory[0])


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and nothing loaded."""
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    cache.folder.cache_clear()
    monkeypatch.setattr(jit, "_loaded", {})
    yield tmp_path
    cache.folder.cache_clear()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is compiled from now on."""
    sources: list[str] = []
    real = jit.compile_object

    def record(source: str, *rest: Any) -> bytes:
        sources.append(source)
        return real(source, *rest)

    monkeypatch.setattr(jit, "compile_object", record)
    return sources


def test_code_runs(fresh: Path) -> None:
    assert call(jit.load(adding(1001), HOST), 5) == 1006


def test_code_is_compiled_once_a_process(fresh: Path, compiled: list[str]) -> None:
    assert jit.load(adding(1002), HOST) == jit.load(adding(1002), HOST)
    assert len(compiled) == 1


def test_code_in_the_cache_is_not_compiled(
    fresh: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jit.compile_object(adding(1003), HOST)
    cache.write(f"{jit.key(adding(1003), HOST)}.o", content)
    compiled.clear()
    assert call(jit.load(adding(1003), HOST), 5) == 1008
    assert not compiled


def test_what_was_compiled_is_kept(fresh: Path) -> None:
    jit.load(adding(1004), HOST)
    assert [path.name for path in fresh.iterdir()] == [f"{jit.key(adding(1004), HOST)}.o"]


def test_a_key_depends_on_the_source_and_the_target() -> None:
    keys = {jit.key(source, HOST) for source in (adding(1), adding(2))}
    keys.add(jit.key(adding(1), target("avx2")))
    assert len(keys) == 3
    assert jit.key(adding(1), HOST) in keys


def test_broken_code_is_not_loaded() -> None:
    with pytest.raises(RuntimeError):
        jit.compile_object("this is not LLVM", HOST)
