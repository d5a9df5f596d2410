"""Memory: values that live at the same time never overlap; what is unused goes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from gossamer.runtime.memory import (
    ALIGNMENT,
    Arena,
    ConstantMemory,
    Lifetime,
    Region,
    align,
    plan,
    view,
)

spans = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(0, 5000),
    st.integers(0, 30),
    st.integers(0, 15),
)


@given(st.lists(spans, max_size=40))
def test_values_alive_at_once_do_not_overlap(lifetimes: list[Lifetime]) -> None:
    offsets, total = plan(lifetimes)
    for one, mine in enumerate(lifetimes):
        assert offsets[one] % ALIGNMENT == 0
        assert offsets[one] + mine.size <= total
        for other, theirs in list(enumerate(lifetimes))[:one]:
            if mine.first <= theirs.last and theirs.first <= mine.last:
                apart = offsets[one] + mine.size <= offsets[other]
                assert apart or offsets[other] + theirs.size <= offsets[one]


@given(st.lists(spans, max_size=40))
def test_a_plan_takes_no_more_than_all_values_side_by_side(lifetimes: list[Lifetime]) -> None:
    _, total = plan(lifetimes)
    assert total <= sum(align(lifetime.size) for lifetime in lifetimes)


def test_values_one_after_the_other_share_their_place() -> None:
    offsets, total = plan([Lifetime(640, step, step) for step in range(5)])
    assert offsets == [0] * 5
    assert total == 640


def test_a_region_is_zero_and_begins_on_a_huge_page() -> None:
    region = Region(1000)
    assert region.address % (2 << 20) == 0
    memory = view(region.address, (250,), np.dtype(np.float32))
    assert not memory.any()
    memory[:] = 3
    assert (view(region.address, (25, 10), np.dtype(np.float32)) == 3).all()


def test_an_arena_moves_only_to_grow() -> None:
    arena = Arena()
    first = arena.reach(1000)
    assert (arena.reach(10), arena.reach(0), arena.moves) == (first, first, 1)
    grown = arena.reach(9 << 20)
    view(grown, (9 << 20,), np.dtype(np.uint8))[:] = 1
    assert (arena.reach(10), arena.moves) == (grown, 2)
    # Lengths that grow a little each time do not each ask for new memory.
    for size in range(9 << 20, 11 << 20, 1 << 18):
        arena.reach(size)
    assert arena.moves == 3


@pytest.mark.parametrize("count", [0, 1, 70, 100_000, (16 << 20) // 4])
def test_equal_constants_lie_in_one_place(count: int) -> None:
    memory = ConstantMemory()
    one = np.arange(count, dtype=np.float32)
    place = memory.place(one)
    assert memory.place(one.copy()) == place
    np.testing.assert_array_equal(view(place, one.shape, one.dtype), one)
    if count:
        other = one.copy()
        other[count // 3] = np.nan
        assert memory.place(other) != place
        assert memory.place(other.copy()) == memory.place(other)
        # A copy: the largest arrays stay where they are, and a view of one lies there too.
        assert memory.place(one.view(np.int32).copy()) != place


def test_zeros_of_two_signs_are_two_constants() -> None:
    memory = ConstantMemory()
    assert memory.place(np.zeros(500)) != memory.place(-np.zeros(500))


def test_a_view_of_nothing_needs_no_memory() -> None:
    assert view(0, (3, 0), np.dtype(np.int64)).shape == (3, 0)


def test_sizes_are_rounded_up() -> None:
    assert [align(size) for size in (0, 1, 64, 65)] == [0, 64, 64, 128]


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told to return memory")
def test_a_compiled_model_keeps_less_than_its_dense_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.standard_normal((2048, 8192), np.float32)
    weight[random.random(weight.shape, np.float32) < 0.97] = 0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2048])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8192])],
        [numpy_helper.from_array(weight, "w")],
    )
    file = tmp_path / "large.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file
    )
    code = """
import re, sys
from pathlib import Path
import gossamer.runtime
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = resident()
session = gossamer.runtime.compile(sys.argv[1], threads=1, engine="gossamer")
print(resident() - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < weight.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_compiling_holds_each_weight_about_once(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    layers, size = 16, 1024
    names = ["x", *(f"h{index}" for index in range(1, layers)), "y"]
    weights = []
    for index in range(layers):
        weight = random.standard_normal((size, size), np.float32)
        weight[random.random(weight.shape, np.float32) < 0.95] = 0
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]])
            for index in range(layers)
        ],
        "deep",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", size])],
        weights,
    )
    file = tmp_path / "deep.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file
    )
    code = """
import re, sys
from pathlib import Path
import gossamer.runtime
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
session = gossamer.runtime.compile(sys.argv[1], threads=1, engine="gossamer")
print(peak() - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    # Beside the weights: LLVM itself, one layer in several forms, what is left of each weight.
    assert int(result.stdout) < 2.2 * layers * size * size * 4
