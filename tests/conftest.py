"""Models and data small enough for every test."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
import pytest
from hypothesis import settings
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from gossamer.runtime.graph import Graph

Pass: TypeAlias = "Callable[[Graph], None]"

# The same examples in every run: a change is to blame for what it breaks, not chance.
settings.register_profile("stable", derandomize=True)
settings.load_profile("stable")


@pytest.fixture(scope="session", autouse=True)
def offline() -> Iterator[None]:
    """No test may reach a model hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def untimed() -> Iterator[None]:
    """No test depends on who is faster here: what is in doubt runs in generated code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gossamer.runtime.contest.lost", lambda ours, run, open_theirs: "")
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Path]:
    """Compiled kernels and choices lie in a folder that begins empty, not in the user's.

    All processes of one run share it, so that none compiles what another has compiled.
    """
    from gossamer.runtime.codegen import cache

    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOSSAMER_CACHE", str(place))
        cache.folder.cache_clear()
        assert cache.folder() == place
        yield place
    cache.folder.cache_clear()


def check_after(change: Pass) -> Pass:
    """A pass after which the graph must be whole, and each name of the same type and shape."""

    @functools.wraps(change)
    def apply(graph: Graph) -> None:
        before = _described(graph)
        outputs = [value.known and (value.dtype, value.shape) for value in graph.outputs]
        change(graph)
        try:
            graph.check()
            for value, kind in zip(graph.outputs, outputs, strict=True):
                assert kind in (False, (value.dtype, value.shape)), f"{value.name} was {kind}"
            after = _described(graph)
            changed = {name for name in before.keys() & after if before[name] != after[name]}
            assert not changed, f"{changed} are of another type or shape than before"
        except AssertionError as error:
            raise AssertionError(f"after {change.__name__}: {error}") from error

    return apply


def _described(graph: Graph) -> dict[str, object]:
    """Type and shape of each named value of a graph."""
    values = [*graph.inputs, *(v for node in graph.nodes for v in (*node.inputs, *node.outputs))]
    return {v.name: (v.dtype, v.shape) for v in values if v is not None and v.name and v.known}


@pytest.fixture(scope="session", autouse=True)
def checked_passes() -> Iterator[Callable[[Pass], Pass]]:
    """Whatever a test compiles, the graph is checked after each pass, wherever one is called."""
    from gossamer.runtime import compiler, passes
    from gossamer.runtime.passes import assign_layouts, group_pointwise, partition, place_images

    assert compiler
    found = {
        *passes.FUSIONS,
        partition.partition,
        place_images.place_images,
        assign_layouts.assign_layouts,
        group_pointwise.group_pointwise,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "FUSIONS", tuple(map(check_after, passes.FUSIONS)))
        for module in [m for name, m in sys.modules.items() if name.startswith("gossamer.runtime")]:
            for name, member in list(vars(module).items()):
                if inspect.isfunction(member) and member in found:
                    patch.setattr(module, name, check_after(member))
        yield check_after


def perceptron(seed: int = 0) -> onnx.ModelProto:
    """Make a classifier of 64 inputs, 128 hidden units and 10 outputs: Gemm, Relu, MatMul."""
    random = np.random.default_rng(seed)
    first = random.standard_normal((128, 64)).astype(np.float32)
    second = random.standard_normal((128, 10)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "first"], ["hidden"], "hidden_layer", transB=1),
            helper.make_node("Relu", ["hidden"], ["active"], "relu"),
            helper.make_node("MatMul", ["active", "second"], ["y"], "output_layer"),
        ],
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test"
    )


@pytest.fixture(scope="session")
def make_perceptron() -> Callable[..., onnx.ModelProto]:
    return perceptron


@pytest.fixture
def memory_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started for each candidate to measure its memory in."""
    from gossamer.energy.memory import PeakMemory

    known = PeakMemory(1 << 26, "as given", 1 << 25)
    monkeypatch.setattr("gossamer.energy.compare.peak_memory", lambda candidate, feeds: known)


@pytest.fixture
def small_onnx(tmp_path: Path) -> Path:
    """An .onnx file of the perceptron."""
    path = tmp_path / "small.onnx"
    onnx.save(perceptron(), path)
    return path


@pytest.fixture
def small_data(tmp_path: Path) -> Path:
    """An .npz file of 64 samples for the perceptron."""
    path = tmp_path / "data.npz"
    np.savez(path, x=np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32))
    return path
