"""Operators on constants: NumPy's rules give the bits that ONNX Runtime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from gossamer.graphs.ops import OPERATORS
from gossamer.runtime import folding
from gossamer.runtime.onnx_import import import_model

f32, f64, i32, i64 = np.float32, np.float64, np.int32, np.int64


def numbers(dtype: Any, *shape: int) -> Any:
    drawn = np.random.default_rng(0).standard_normal(shape) * 9
    return drawn.astype(dtype)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, 3.4e38, 1.5, -2.5], f32)
LARGE = np.array([2**31 - 1, -(2**31), 5, -7, 0])

CASES: list[tuple[str, dict[str, Any], list[Any], tuple[int, ...]]] = [
    ("Identity", {}, [SPECIAL], (7, 25)),
    ("Reshape", {}, [numbers(f32, 2, 3, 4), np.array([0, -1])], (7, 13, 21)),
    ("Reshape", {"allowzero": 1}, [numbers(f32, 0, 3), np.array([3, 0])], (14,)),
    ("Flatten", {"axis": 2}, [numbers(f32, 2, 3, 4)], (7, 9, 21)),
    ("Squeeze", {"axes": [0]}, [numbers(f32, 1, 3, 1)], (7, 11)),
    ("Squeeze", {}, [numbers(f32, 1, 3, 1)], (7, 13)),
    ("Squeeze", {}, [numbers(f32, 1, 3, 1), np.array([-1])], (13, 21)),
    ("Unsqueeze", {"axes": [0, 2]}, [numbers(f32, 3)], (7, 11)),
    ("Unsqueeze", {}, [numbers(f32, 3), np.array([-1])], (13, 21)),
    ("Transpose", {}, [numbers(f32, 2, 3, 4)], (7, 13)),
    ("Transpose", {"perm": [1, 2, 0]}, [numbers(np.int8, 2, 3, 4)], (7, 13)),
    ("Slice", {"starts": [1, -3], "ends": [9, -1], "axes": [2, 1]}, [numbers(f32, 2, 5, 4)], (7,)),
    (
        "Slice",
        {},
        [numbers(f32, 4, 7), *map(np.array, ([-1, 5], [-99, 1], [0, 1], [-1, -2]))],
        (10, 13),
    ),
    ("Slice", {}, [numbers(f32, 4, 7), np.array([3]), np.array([1])], (10, 13)),
    ("Split", {"axis": 1, "split": [2, 3]}, [numbers(f32, 2, 5)], (7, 11)),
    ("Split", {"axis": -1}, [numbers(f32, 2, 5), np.array([1, 4])], (13,)),
    ("Concat", {"axis": -1}, [numbers(f32, 2, 3), numbers(f32, 2, 1)], (7, 13)),
    ("Expand", {}, [numbers(f32, 3, 1), np.array([2, 1, 4])], (8, 13)),
    ("Gather", {"axis": 1}, [numbers(f32, 2, 5), np.array([[0, -1], [4, 2]])], (7, 11, 13)),
    ("Gather", {}, [numbers(i64, 5), np.array(3, i32)], (11, 13)),
    ("ConstantOfShape", {}, [np.array([2, 3])], (9,)),
    ("ConstantOfShape", {"value": numpy_helper.from_array(LARGE[:1])}, [np.array([2])], (20,)),
    ("Where", {}, [numbers(f32, 4) > 0, SPECIAL[:4], numbers(f32, 3, 1)], (9, 16)),
    ("Trilu", {"upper": 0}, [numbers(f32, 2, 4, 3), np.array(-1)], (14,)),
    ("Trilu", {}, [numbers(i64, 4, 4)], (14,)),
    *(
        ("Cast", {"to": to}, [x], (9, 13, 19))
        for x, targets in (
            (numbers(f32, 20), (6, 7, 9, 10, 11, 2, 3)),
            (SPECIAL, (9, 10, 11)),
            (numbers(f64, 20) * 1e30, (1,)),
            (LARGE, (1, 6, 3, 9, 11)),
            (np.array([True, False]), (1, 7, 10)),
        )
        for to in targets
        if not (to == 2 and (x < 0).any())
    ),
    *(
        (op, {}, [numbers(dtype, 4, 1), numbers(dtype, 5)], (7, 13, 14))
        for op in ("Add", "Sub", "Mul", "Div")
        for dtype in (f32, f64)
    ),
    *((op, {}, [LARGE, LARGE[::-1].copy()], (7, 13, 14)) for op in ("Add", "Sub", "Mul")),
    *((op, {}, [LARGE.astype(i32), LARGE[:1].astype(i32)], (14,)) for op in ("Add", "Mul")),
    *((op, {}, [SPECIAL, SPECIAL[3:4]], (13,)) for op in ("Add", "Sub", "Mul", "Div")),
    ("Sqrt", {}, [np.abs(numbers(f32, 9999))], (7, 13)),
    ("Sqrt", {}, [np.abs(numbers(f64, 999))], (7, 13)),
    ("Sqrt", {}, [SPECIAL], (13,)),
    ("Neg", {}, [SPECIAL], (7, 13)),
    ("Neg", {}, [LARGE.astype(i32)], (7, 13)),
    *((op, {}, [SPECIAL, SPECIAL[::-1].copy()], (11, 13)) for op in ("Equal", "Less", "Greater")),
    ("LessOrEqual", {}, [SPECIAL, SPECIAL[::-1].copy()], (12, 16)),
    ("GreaterOrEqual", {}, [LARGE, LARGE[::-1].copy()], (12, 16)),
    ("Equal", {}, [LARGE, LARGE[::-1].copy()], (7, 13)),
    ("Not", {}, [SPECIAL > 0], (7,)),
    *((op, {}, [SPECIAL > 0, SPECIAL[:1] < 1], (7,)) for op in ("And", "Or", "Xor")),
    *(
        ("DequantizeLinear", {}, [numbers(dtype, 3, 4), f32(0.3), np.array(3, dtype)], (10, 13, 21))
        for dtype in (np.int8, np.uint8)
    ),
    ("DequantizeLinear", {}, [numbers(i32, 3, 4) * 99999, f32(1e-3)], (10, 13)),
    (
        "DequantizeLinear",
        {"axis": 0},
        [numbers(np.int8, 3, 4), np.abs(numbers(f32, 3)), np.array([0, 1, 2], np.int8)],
        (13, 19, 21),
    ),
    ("DequantizeLinear", {}, [numbers(np.int8, 3, 4), np.abs(numbers(f32, 4))], (13, 21)),
]


def made(op: str, attributes: Any, constants: Any, opset: int) -> onnx.ModelProto:
    names = [f"c{position}" for position in range(len(constants))]
    outputs = ["y", "z"] if op == "Split" else ["y"]
    graph = helper.make_graph(
        [helper.make_node(op, names, outputs, **attributes)],
        "constant",
        [],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in zip(names, constants, strict=True)
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(
    ("op", "attributes", "constants", "opsets"),
    CASES,
    ids=[f"{case[0]}-{position}" for position, case in enumerate(CASES)],
)
def test_the_same_bits(
    reference: Any,
    monkeypatch: pytest.MonkeyPatch,
    op: str,
    attributes: Any,
    constants: Any,
    opsets: Any,
) -> None:
    monkeypatch.setattr(folding, "_by_onnx_runtime", lambda *_: None)
    for opset in opsets:
        model = made(op, attributes, constants, opset)
        for output, theirs in zip(import_model(model).outputs, reference(model, {}), strict=True):
            assert output.data is not None
            assert (output.dtype, output.shape) == (theirs.dtype, theirs.shape)
            assert output.data.dtype == theirs.dtype
            np.testing.assert_array_equal(output.data, theirs)
            if theirs.dtype.kind == "f":
                zero = theirs == 0
                np.testing.assert_array_equal(
                    np.signbit(output.data)[zero], np.signbit(theirs)[zero]
                )


def test_every_rule_is_tried() -> None:
    assert {case[0] for case in CASES} == {
        name for name, operator in OPERATORS.items() if operator.exact
    }


@pytest.mark.parametrize(
    ("op", "attributes", "constants"),
    [
        ("Cast", {"to": 7}, [SPECIAL]),
        ("Cast", {"to": 2}, [np.array([-1.5], f32)]),
        ("Cast", {"to": 10}, [numbers(f64, 5)]),
        ("Gather", {}, [numbers(f32, 3), np.array([3])]),
        ("Div", {}, [LARGE, LARGE]),
        ("Add", {}, [numbers(np.float16, 3), numbers(np.float16, 3)]),
        ("DequantizeLinear", {}, [numbers(np.int8, 4), np.array(0.5, np.float16)]),
    ],
)
def test_what_is_not_agreed_on_is_left(
    monkeypatch: pytest.MonkeyPatch, op: str, attributes: Any, constants: Any
) -> None:
    monkeypatch.setattr(folding, "_by_onnx_runtime", lambda *_: None)
    assert import_model(made(op, attributes, constants, 21)).outputs[0].data is None
