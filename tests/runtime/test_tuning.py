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
from gossamer.runtime.kernels.planes import Geometry
from gossamer.runtime.layouts import cut

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
    real = tuning._linear_calls

    def record(matrix: Any, *rest: Any) -> Any:
        seen.append(matrix)
        return real(matrix, *rest)

    monkeypatch.setattr(tuning, "_linear_calls", record)
    return seen


def test_a_dense_layer_is_not_timed(fresh: Path, timed: list[Any]) -> None:
    assert not tuning.choose_linear(weight(32, 48, 0.1), HOST).sparse
    assert not timed


def test_a_choice_is_remembered(fresh: Path, timed: list[Any]) -> None:
    first = tuning.choose_linear(weight(32, 48, 0.7), HOST)
    assert tuning.choose_linear(weight(32, 48, 0.7), HOST) == first
    assert len(timed) == 1


def test_layers_that_are_nearly_alike_share_a_choice(fresh: Path, timed: list[Any]) -> None:
    tuning.choose_linear(weight(320, 480, 0.7, seed=0), HOST)
    tuning.choose_linear(weight(320, 480, 0.7, seed=1), HOST)
    assert len(timed) == 1


@pytest.mark.parametrize("other", [(32, 49, 0.7), (33, 48, 0.7), (32, 48, 0.9)])
def test_another_shape_or_sparsity_is_timed_anew(
    fresh: Path, timed: list[Any], other: tuple[int, int, float]
) -> None:
    tuning.choose_linear(weight(32, 48, 0.7), HOST)
    tuning.choose_linear(weight(*other), HOST)
    assert len(timed) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b'{"choice": null}', b'{"choice": 99}']
)
def test_a_damaged_memory_is_timed_anew(fresh: Path, timed: list[Any], content: bytes) -> None:
    tuning.choose_linear(weight(32, 48, 0.7), HOST)
    (kept,) = fresh.glob("*.json")
    kept.write_bytes(content)
    tuning.choose_linear(weight(32, 48, 0.7), HOST)
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
    tuning.choose_linear(np.zeros(shape, np.float32), HOST)


def one_by_one(height: int, width: int) -> Geometry:
    return Geometry(cut(height, width), cut(height, width), (1, 1), ((0, 0),))


def test_a_convolution_is_timed_once(fresh: Path) -> None:
    kernel = weight(16, 32, 0.8)[:, :, None]
    choice = tuning.choose_conv(kernel, 1, one_by_one(9, 9), HOST)
    (kept,) = fresh.glob("*.json")
    before = kept.stat().st_mtime_ns
    assert tuning.choose_conv(kernel, 1, one_by_one(9, 9), HOST) == choice
    assert kept.stat().st_mtime_ns == before


def test_a_dense_convolution_is_never_tried_sparse(fresh: Path) -> None:
    kernel = weight(16, 32, 0.0)[:, :, None]
    assert not tuning.choose_conv(kernel, 1, one_by_one(9, 9), HOST).sparse


def test_groups_skip_what_is_not_in_them(fresh: Path) -> None:
    kernel = weight(16, 1, 0.0)[:, :, None]
    choice = tuning.choose_conv(kernel, 16, one_by_one(9, 9), HOST)
    assert (choice.sparse, choice.block) == (True, 1)


@pytest.mark.parametrize("rows", [16, 18])
def test_rows_that_keep_the_same_columns_go_together(fresh: Path, rows: int) -> None:
    pattern = np.repeat(weight(rows // 2, 64, 0.8), 2, axis=0)
    pattern = np.repeat(pattern[:: 4 if rows == 16 else 1], 4 if rows == 16 else 1, axis=0)
    whole = rows % 4 == 0
    assert tuning._together(pattern) == ([4] if whole else [1])
    assert tuning._together(weight(rows, 64, 0.8)) == [1]
