"""The kernel of each layer is chosen by timing once, and remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer.runtime import compile, tuning
from gossamer.runtime.codegen import cache
from gossamer.runtime.codegen.target import target

HOST = target("host")


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path))
    cache.folder.cache_clear()
    yield tmp_path
    cache.folder.cache_clear()


def weight(rows: int, columns: int, sparsity: float, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    full = random.standard_normal((rows, columns)).astype(np.float32)
    return full * (random.random((rows, columns)) >= sparsity)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The matrices that are timed from now on."""
    seen: list[Any] = []
    real = tuning._time_all

    def record(matrix: Any, *rest: Any) -> Any:
        seen.append(matrix)
        return real(matrix, *rest)

    monkeypatch.setattr(tuning, "_time_all", record)
    return seen


def test_a_dense_layer_is_not_timed(fresh: Path, timed: list[Any]) -> None:
    assert not tuning.choose(weight(32, 48, 0.1), HOST).sparse
    assert not timed


def test_a_choice_is_remembered(fresh: Path, timed: list[Any]) -> None:
    first = tuning.choose(weight(32, 48, 0.7), HOST)
    assert tuning.choose(weight(32, 48, 0.7), HOST) == first
    assert len(timed) == 1


def test_layers_that_are_nearly_alike_share_a_choice(fresh: Path, timed: list[Any]) -> None:
    tuning.choose(weight(320, 480, 0.7, seed=0), HOST)
    tuning.choose(weight(320, 480, 0.7, seed=1), HOST)
    assert len(timed) == 1


@pytest.mark.parametrize("other", [(32, 49, 0.7), (33, 48, 0.7), (32, 48, 0.9)])
def test_another_shape_or_sparsity_is_timed_anew(
    fresh: Path, timed: list[Any], other: tuple[int, int, float]
) -> None:
    tuning.choose(weight(32, 48, 0.7), HOST)
    tuning.choose(weight(*other), HOST)
    assert len(timed) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"sparse": true, "block": null}'])
def test_a_damaged_memory_is_timed_anew(fresh: Path, timed: list[Any], content: bytes) -> None:
    tuning.choose(weight(32, 48, 0.7), HOST)
    (kept,) = fresh.glob("*.json")
    kept.write_bytes(content)
    tuning.choose(weight(32, 48, 0.7), HOST)
    assert len(timed) == 2


def test_a_session_of_a_known_layer_times_nothing(
    fresh: Path, timed: list[Any], model: Any
) -> None:
    small = model(
        "(float[N, 48] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=weight(32, 48, 0.7).T
    )
    compile(small)
    compile(small)
    assert len(timed) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_layers_of_one_row_or_column_can_be_timed(fresh: Path, shape: tuple[int, int]) -> None:
    tuning.choose(np.zeros(shape, np.float32), HOST)
