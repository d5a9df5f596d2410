"""A call gives a kernel what it takes, by name and type, or it is not made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim
from gossamer.runtime import compile
from gossamer.runtime.graph import Value, constant
from gossamer.runtime.kernels.attention import Attention
from gossamer.runtime.kernels.dense_linear import DenseLinear
from gossamer.runtime.kernels.dense_plain import DensePlain
from gossamer.runtime.kernels.epilogue import Epilogue
from gossamer.runtime.kernels.layer_norm import LayerNorm
from gossamer.runtime.kernels.sparse_linear import SparseLinear, pack
from gossamer.runtime.kernels.surround import Surround
from gossamer.runtime.layouts import PLAIN, TILE, TOKENS, Layout, Planes, cut
from gossamer.runtime.ops import softmax
from gossamer.runtime.signature import (
    Address,
    Flag,
    Input,
    Output,
    Room,
    Scratch,
    Signature,
    SignatureError,
    symbols,
)
from gossamer.runtime.steps import Call

f32 = np.float32
N, ROWS, COLUMNS = symbols("N", "rows", "columns")
SCALED = Signature(
    "Scaled",
    (
        Input("x", "float32", ROWS * COLUMNS, TOKENS),
        Input("scale", "float32", COLUMNS),
        Output("y", "float32", ROWS * COLUMNS, Layout),
        Scratch("sums", "float64", COLUMNS * 8),
        Flag(),
    ),
    (ROWS, COLUMNS),
)


def value(*shape: Any, layout: Layout = TOKENS, dtype: Any = f32, name: str = "given") -> Value:
    return Value(name, np.dtype(dtype), shape, layout=layout)


def given(**others: Any) -> dict[str, Any]:
    """What `SCALED` takes, for 64 N rows of 5 columns."""
    right = {"x": value(N * 64, 5), "scale": np.ones(5, f32), "y": value(N * 64, 5)}
    return right | {"rows": N * 64, "columns": 5} | others


def test_arguments_are_bound_in_the_kernels_order_whatever_the_callers() -> None:
    right = given()
    bound = SCALED.bind(dict(reversed(right.items())))
    assert list(bound) == ["x", "scale", "y", "sums", "flag", "rows", "columns"]
    assert all(bound[name] is right[name] for name in right)


def test_scratch_and_the_flag_are_the_kernels_to_ask_for() -> None:
    bound = SCALED.bind(given(columns=5))
    assert isinstance(bound["sums"], Room)
    assert bound["sums"].size == 5 * 8 * 8
    assert isinstance(bound["flag"], Flag)


def test_two_calls_have_two_rooms() -> None:
    """They lie in one place only where their calls do not meet, which the plan says."""
    one, other = (SCALED.bind(given())["sums"] for _ in range(2))
    assert one != other


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": value(N * 64, 5, dtype=np.float64)}, "'x' as .* of float32, not .* of float64"),
        ({"x": value(N * 64, 5, layout=PLAIN)}, r"'x' as Tokens\(\), not Plain\(\)"),
        ({"x": value(N * 128, 5)}, r"'x' as 320\*N of float32, not 640\*N of float32"),
        ({"x": value(N + 63, 5)}, r"'x' as 320\*N of float32"),
        ({"x": value(320, 5)}, r"'x' as 320\*N of float32, not 1600 of float32"),
        ({"x": 7}, "'x' as float32, not the number 7"),
        ({"scale": np.ones(5)}, "'scale' as 5 of float32, not 5 of float64"),
        ({"scale": np.ones(6, f32)}, "'scale' as 5 of float32, not 6 of float32"),
        ({"scale": np.ones(5, np.int32)}, "'scale' as 5 of float32, not 5 of int32"),
        ({"columns": 6}, "'x' as"),
        ({"columns": np.array(5)}, "'columns' as a number, not ndarray"),
        ({"rows": N}, "'x' as"),
        (
            {"y": constant("c", np.ones((64, 5), f32)), "rows": 64, "x": value(64, 5)},
            "constant 'c'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_both_types(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(SignatureError, match=f"^Scaled takes .*{message}"):
        SCALED.bind(given(**wrong))


def test_a_name_too_few_and_one_too_many() -> None:
    wrong = given(offset=3)
    del wrong["scale"]
    with pytest.raises(SignatureError, match=r"^Scaled .* without \['scale'\].* \['offset'\]"):
        SCALED.bind(wrong)


def test_scratch_is_nobodys_to_give() -> None:
    with pytest.raises(SignatureError, match=r"\['sums'\], which it does not take"):
        SCALED.bind(given(sums=np.zeros(40)))


def test_any_layout_of_a_kind() -> None:
    """A kernel of one code for all planes says how many floats they have by a number."""
    (plane,) = symbols("plane")
    taking = Signature("Any", (Input("x", "float32", plane * 6, Planes),), (plane,))
    layout = cut(9, 9)
    x = value(2, 3, 9, 9, layout=layout)
    assert taking.bind({"x": x, "plane": layout.plane})["x"] is x
    with pytest.raises(SignatureError, match="Any takes 'x' as"):
        taking.bind({"x": x, "plane": layout.plane + 16})
    with pytest.raises(SignatureError, match=r"Any takes 'x' as .*Planes.*, not Plain"):
        taking.bind({"x": value(2, 3, 9, 9, layout=PLAIN), "plane": 81})


def test_a_length_that_nobody_gives_is_what_the_first_array_has() -> None:
    (many,) = symbols("many")
    pointers = Input("ends", "int32", many), Input("pairs", "float32", many * 2)
    lists = Signature("Lists", pointers, (), (many,))
    ends = np.zeros(3, np.int32)
    lists.bind({"ends": ends, "pairs": np.zeros((3, 2), f32)})
    with pytest.raises(SignatureError, match="Lists takes 'pairs' as 6 of float32, not 3"):
        lists.bind({"ends": ends, "pairs": np.zeros(3, f32)})


def test_a_signature_counts_in_its_own_numbers() -> None:
    with pytest.raises(SignatureError, match=r"Typo has no numbers \['columns'\]"):
        Signature("Typo", (Input("x", "float32", ROWS * COLUMNS),), (ROWS,))
    with pytest.raises(SignatureError, match="Twice has two arguments of one name"):
        Signature("Twice", (Input("rows", "float32", ROWS),), (ROWS,))


# The kernels' own, beside what lowering gives them.


def layer_norm() -> tuple[Any, dict[str, Any]]:
    x, y = value(N, 20, 8), value(N, 20, 8)
    ones = np.ones(8, f32)
    groups = TOKENS.groups((N, 20, 8))
    return LayerNorm(1e-5), {
        "x": x,
        "y": y,
        "scale": ones,
        "bias": ones,
        "groups": groups,
        "channels": 8,
    }


def dense_linear() -> tuple[Any, dict[str, Any]]:
    kernel = DenseLinear(Epilogue(("Add",)), 32)
    weights = np.ones((-(-10 // kernel.block) * kernel.block, 8), f32)
    return kernel, {
        "x": value(N, 8),
        "y": value(N, 10),
        "operand0": value(N, 10),
        "bias": np.ones(10, f32),
        "weights": weights,
        "rows": 10,
        "columns": 8,
        "tiles": TOKENS.tiles((N, 8)),
        "last_groups": 1,
        "x_tile": 8 * TILE,
        "y_tile": 10 * TILE,
    }


def dense_plain() -> tuple[Any, dict[str, Any]]:
    return DensePlain(Epilogue()), {
        "x": value(N, 8, layout=PLAIN),
        "y": value(N, 10, layout=PLAIN),
        "bias": np.ones(64, f32),
        "weights": np.ones((8, 64), f32),
        "samples": N,
        "columns": 8,
        "rows": 10,
    }


def sparse_linear() -> tuple[Any, dict[str, Any]]:
    lists = pack(np.eye(10, 8, dtype=f32), 4, 2)
    return SparseLinear(Epilogue()), {
        "x": value(N, 8),
        "y": value(N, 10),
        "bias": np.ones(10, f32),
        "tiles": TOKENS.tiles((N, 8)),
        "last_groups": 1,
        "x_tile": 8 * TILE,
        "y_tile": 10 * TILE,
        "x_block": 4 * TILE,
        **lists.arguments(),
    }


def attention() -> tuple[Any, dict[str, Any]]:
    tiles = {f"{name}_tile": 8 * TILE for name in ("queries", "keys", "values", "output")}
    return Attention(4, 0.5, "keys"), {
        "queries": value(N, 20, 8),
        "output": value(N, 20, 8),
        "keys": value(N, 9, 8),
        "values": value(N, 9, 8),
        "mask": value(N, 1, 1, 9, layout=PLAIN),
        "sequences": N,
        "heads": 2,
        "query_count": 20,
        "key_count": 9,
        **tiles,
        "mask_sequence": 9,
        "mask_head": 0,
        "mask_key": 1,
    }


def surround() -> tuple[Any, dict[str, Any]]:
    layout = cut(9, 9)
    return Surround(layout), {"array": value(N, 3, 9, 9, layout=layout), "planes": N * 3}


KERNELS: list[Callable[[], tuple[Any, dict[str, Any]]]] = [
    layer_norm,
    dense_linear,
    dense_plain,
    sparse_linear,
    attention,
    surround,
]


@pytest.mark.parametrize("make", KERNELS)
def test_kernels_take_what_they_say(make: Any) -> None:
    kernel, right = make()
    assert kernel.signature.bind(right).keys() >= right.keys()


def changes(right: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each argument as something else: a value of more elements, another size."""
    for name, argument in right.items():
        if isinstance(argument, Value):
            yield name, value(*argument.shape[:-1], argument.shape[-1] + 1, layout=argument.layout)
            yield name, value(*argument.shape, layout=argument.layout, dtype=np.int8)
        elif isinstance(argument, np.ndarray):
            yield name, np.zeros(argument.size + 1, argument.dtype)
            yield name, argument.astype(np.complex64)
        elif name not in ("last_groups", "x_block"):
            yield name, argument * 3 + 16


@pytest.mark.parametrize("make", KERNELS)
def test_whatever_one_argument_is_instead_reaches_outside(make: Any) -> None:
    """`last_groups` and the blocks within a row say where to look inside, not how far."""
    kernel, right = make()
    for name, wrong in changes(right):
        if isinstance(wrong, Value) and isinstance(wrong.layout, Planes) and wrong.dtype == f32:
            continue  # A wider image in the same planes has as many elements.
        with pytest.raises(SignatureError, match=type(kernel).__name__):
            kernel.signature.bind(right | {name: wrong})


def test_a_call_that_does_not_fit_is_not_made(
    model: Callable[..., onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lowering gets wrong is an error that names kernel, argument and both types."""
    small = model("(float[N, 4] x) => (float[N, 4] y) { y = Softmax(x) }")
    monkeypatch.setattr(softmax, "product", lambda sizes: 3)
    with pytest.raises(ModelError, match=re.escape("Softmax takes 'x' as 36 of float32, not 4*N")):
        compile(small, engine="gossamer")


def test_sizes_of_a_call_are_data(model: Callable[..., onnx.ModelProto]) -> None:
    """Nothing in a compiled call is a function: what is open is a polynomial."""
    small = model(
        """(float[B, T, 8] x) => (float[B, T, 8] y, float[B, T, T] s) {
            a = MatMul(x, w)  y = LayerNormalization(a, one)
            t = Transpose<perm=[0, 2, 1]>(x)  p = MatMul(x, t)  s = Softmax(p) }""",
        w=np.eye(8),
        one=np.ones(8),
    )
    steps = compile(small, engine="gossamer")._generated.program.steps
    arguments = [a for step in steps if isinstance(step, Call) for a in step.arguments.values()]
    kinds = {type(argument) for argument in arguments}
    assert kinds == {Value, Address, Room, Flag, int, Dim}
