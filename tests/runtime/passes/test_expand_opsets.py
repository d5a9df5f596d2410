"""Every operator that is written as others, in every form that a version of ONNX gave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from gossamer.runtime.expansion import Expansion
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.ops import NATIVE
from gossamer.runtime.passes.expand import expand

f32 = np.float32
OLDEST, NEWEST = 7, 25
"""What ONNX Runtime takes, and was released by then."""

Form: TypeAlias = "tuple[dict[str, Any], list[Any]]"
"""Attributes, and inputs after the first that are constants; None is left out."""


def random(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(f32)


def axes(since: int, *named: int, **others: Any) -> Callable[[int], Form]:
    """Axes as an attribute, from some operator set on as an input."""

    def form(opset: int) -> Form:
        if opset < since:
            return {"axes": list(named), **others}, []
        return others, [np.array(named)]

    return form


def always(attributes: dict[str, Any], *inputs: Any) -> Callable[[int], Form]:
    return lambda opset: (attributes, list(inputs))


def normal(opset: int) -> Form:
    scale, bias = random(8), random(8) / 2
    return {"epsilon": 1e-3}, [scale, bias, bias / 3, scale * scale + 1]


def group_norm(opset: int) -> Form:
    count = 4 if opset < 21 else 8
    return {"num_groups": 4}, [random(count), random(count) / 2]


def split(opset: int) -> Form:
    return ({"axis": 1, "split": [3, 5]}, []) if opset < 13 else ({"axis": 1}, [np.array([3, 5])])


def resize(opset: int) -> Form:
    scales = np.array([1, 1, 2, 1.5], f32)
    if opset < 11:
        return {"mode": "linear"}, [scales]
    return {"mode": "linear"}, [None, scales] if opset >= 13 else [np.zeros(0, f32), scales]


def upsample(opset: int) -> Form:
    scales = [1.0, 1.0, 2.0, 3.0]
    if opset < 9:
        return {"scales": scales}, []
    return {}, [np.array(scales, f32)]


def depth_to_space(opset: int) -> Form:
    return {"blocksize": 2, **({} if opset < 11 else {"mode": "CRD"})}, []


def maybe_counted(opset: int) -> Form:
    new = {"ceil_mode": 1} if opset >= 10 else {}
    return {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1, **new}, []


def taken(opset: int) -> Form:
    new = {"dilations": [2, 1]} if opset >= 10 else {}
    return {"kernel_shape": [2, 3], "strides": [1, 1], "pads": [1, 1, 0, 0], **new}, []


IMAGE = (2, 8, 6, 4)
CASES: list[tuple[str, Callable[[int], Form], Any]] = [
    ("ReduceL1", axes(18, 1, -1, keepdims=0), random(*IMAGE)),
    ("ReduceL2", axes(18, 2), random(*IMAGE)),
    ("ReduceSumSquare", axes(18, 0, 2), random(*IMAGE)),
    ("ReduceLogSum", axes(18, 1), np.abs(random(*IMAGE))),
    ("ReduceLogSumExp", axes(18, 1, 3, keepdims=0), random(*IMAGE) * 60),
    ("ReduceL1", always({}), random(*IMAGE)),
    ("ReduceSum", axes(13, 1), random(*IMAGE)),
    ("ReduceMean", axes(18, 1, 2, keepdims=0), random(*IMAGE)),
    ("ReduceProd", axes(18, 3), random(*IMAGE)),
    ("ReduceMax", axes(18, 3), random(*IMAGE)),
    ("ReduceMin", axes(18, 1), random(*IMAGE)),
    ("Softmax", always({"axis": 1}), random(2, 8, 4)),
    ("Softmax", always({}), random(2, 8, 4)),
    ("LogSoftmax", always({"axis": 2}), random(2, 8, 4, 3)),
    ("Hardmax", always({"axis": 2}), random(2, 8, 4)),
    ("LayerNormalization", always({"axis": 2}, random(6, 4), random(6, 4)), random(*IMAGE)),
    ("GroupNormalization", group_norm, random(*IMAGE)),
    ("InstanceNormalization", always({}, random(8), random(8)), random(*IMAGE)),
    ("BatchNormalization", normal, random(3, 8)),
    ("BatchNormalization", normal, random(3, 8, 5)),
    ("MeanVarianceNormalization", always({}), random(*IMAGE)),
    ("MeanVarianceNormalization", always({"axes": [1, -1]}), random(*IMAGE)),
    ("LpNormalization", always({"axis": 1, "p": 1}), random(*IMAGE)),
    ("LpNormalization", always({}), random(*IMAGE)),
    ("MatMul", always({}, random(4)), random(2, 3, 4)),
    ("Gemm", always({"alpha": 0.5, "beta": 2.0}, random(4, 3), random(3)), random(5, 4)),
    ("Gemm", always({"transB": 1}, random(3, 4), random(5, 3)), random(5, 4)),
    ("Split", split, random(*IMAGE)),
    ("DepthToSpace", depth_to_space, random(*IMAGE)),
    ("SpaceToDepth", always({"blocksize": 2}), random(*IMAGE)),
    ("OneHot", always({"axis": 1}, np.array([5]), np.array([-1.0, 2.0], f32)), np.arange(6)),
    ("CumSum", always({"exclusive": 1}, np.array(1)), random(*IMAGE)),
    ("Dropout", always({}), random(*IMAGE)),
    ("EyeLike", always({"k": 1}), random(4, 5)),
    ("RMSNormalization", always({}, np.arange(1, 9, dtype=f32)), random(2, 3, 8)),
    ("CastLike", always({}, np.zeros(1, np.int64)), random(*IMAGE) * 9),
    ("MaxPool", taken, random(*IMAGE)),
    ("MaxPool", always({"kernel_shape": [3]}), random(2, 8, 9)),
    ("AveragePool", maybe_counted, random(*IMAGE)),
    ("GlobalAveragePool", always({}), random(2, 8, 9)),
    ("GlobalMaxPool", always({}), random(*IMAGE)),
    ("Conv", always({"pads": [1, 1], "group": 2}, random(6, 4, 3), random(6)), random(2, 8, 9)),
    ("Conv", always({}, random(4, 8, 2, 2, 2), random(4)), random(2, 8, 3, 4, 3)),
    ("ConvTranspose", always({"strides": [2, 2]}, random(8, 3, 2, 3)), random(*IMAGE)),
    ("LRN", always({"size": 3, "alpha": 0.1}), random(*IMAGE)),
    ("Resize", resize, random(*IMAGE)),
    ("Upsample", upsample, random(*IMAGE)),
]


def versions(op: str) -> list[int]:
    """The operator sets that define an operator anew, and those around which others changed."""
    history = [
        s for s in onnx.defs.get_all_schemas_with_history() if (s.domain, s.name) == ("", op)
    ]
    changes = {schema.since_version for schema in history}
    wanted = sorted(changes | {OLDEST, 9, 10, 12, 13, 14, 17, 18, NEWEST})
    return [
        opset
        for opset in wanted
        if max(min(changes), OLDEST) <= opset <= NEWEST
        and not onnx.defs.get_schema(op, opset).deprecated
    ]


def made(op: str, form: Callable[[int], Form], x: Any, opset: int) -> onnx.ModelProto:
    attributes, constants = form(opset)
    tensors = [
        numpy_helper.from_array(np.asarray(value), f"c{position}")
        for position, value in enumerate(constants)
        if value is not None
    ]
    names = [
        f"c{position}" if value is not None else "" for position, value in enumerate(constants)
    ]
    outputs = ["y", "z"] if op == "Split" else ["y"]
    node = helper.make_node(op, ["x", *names], outputs, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        tensors,
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


@pytest.mark.parametrize(
    ("op", "form", "x"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_as_onnx_runtime_does_it_at_every_operator_set(
    agrees: Any, reference: Any, op: str, form: Callable[[int], Form], x: Any
) -> None:
    ran = 0
    for opset in versions(op):
        small = made(op, form, x, opset)
        try:
            results = reference(small, {"x": x})
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            continue
        for port, result in zip(small.graph.output, results, strict=True):
            kind = helper.np_dtype_to_tensor_dtype(result.dtype)
            port.type.CopyFrom(helper.make_tensor_type_proto(kind, result.shape))
        agrees(small, {"x": x})
        ran += 1
    assert ran


def test_every_operator_that_is_written_as_others_is_tried() -> None:
    assert {case[0] for case in CASES} == {name for name, how in NATIVE.items() if how.expand}


@pytest.mark.parametrize(
    ("op", "form", "x"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_what_is_written_is_legal(
    monkeypatch: pytest.MonkeyPatch, op: str, form: Callable[[int], Form], x: Any
) -> None:
    """By ONNX's checker, in the operator set that is said."""
    written: list[tuple[Any, int]] = []
    add = Expansion.add

    def noted(self: Expansion, name: str, inputs: Any, attributes: Any, outputs: int) -> Any:
        ports = ["" if value is None else f"i{at}" for at, value in enumerate(inputs)]
        node = helper.make_node(name, ports, [f"o{at}" for at in range(outputs)], **attributes)
        written.append((node, self.written))
        return add(self, name, inputs, attributes, outputs)

    monkeypatch.setattr(Expansion, "add", noted)
    for opset in versions(op):
        expand(import_model(made(op, form, x, opset)))
    context = onnx.checker.C.CheckerContext()
    context.ir_version = 8
    for node, opset in written:
        context.opset_imports = {"": opset}
        onnx.checker.check_node(node, context)
        for attribute in node.attribute:
            schema = onnx.defs.get_schema(node.op_type, opset)
            assert attribute.name in schema.attributes, (node, opset)
