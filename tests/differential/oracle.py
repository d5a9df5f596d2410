"""ONNX Runtime: single nodes while a model grows, whole models, and the same in 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from differential.builder import Value

Array: TypeAlias = NDArray[Any]
Feeds: TypeAlias = Mapping[str, Array]

onnxruntime.set_default_logger_severity(4)

NEWEST = min(onnx.defs.onnx_opset_version(), 28)
"""The newest operator set that ONNX and ONNX Runtime share."""


class Unfit(Exception):
    """ONNX Runtime refuses a model."""


def session(model: onnx.ModelProto, optimized: bool = False) -> onnxruntime.InferenceSession:
    """ONNX Runtime's session, by default of the model as it stands.

    Raises:
        Unfit: with ONNX Runtime's reason.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise Unfit(str(error)[:200]) from None


def run(loaded: onnxruntime.InferenceSession, feeds: Feeds) -> list[Array]:
    """A run.

    Raises:
        Unfit: with ONNX Runtime's reason.
    """
    try:
        results = loaded.run(None, dict(feeds))
    except Exception as error:
        raise Unfit(str(error)[:200]) from None
    for result in results:
        if not isinstance(result, np.ndarray):
            raise Unfit(f"an output that is no tensor but {type(result).__name__}")
    return list(results)


def run_node(
    node: NodeProto, taken: Sequence[Value], opsets: Mapping[str, int], feeds: Sequence[Feeds]
) -> list[list[Array]]:
    """The outputs of one node in every world.

    Raises:
        Unfit: if ONNX Runtime refuses it.
    """
    unique = {value.name: value for value in taken}.values()
    variable = [value for value in unique if not value.constant]
    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(v.name, helper.np_dtype_to_tensor_dtype(v.dtype), None)
            for v in variable
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        [numpy_helper.from_array(v.arrays[0], v.name) for v in unique if v.constant],
    )
    loaded = session(model_of(graph, opsets))
    if variable:
        return [run(loaded, given) for given in feeds]
    made = run(loaded, {})
    return [list(made) for _ in feeds]


def model_of(graph: onnx.GraphProto, opsets: Mapping[str, int], ir: int = 10) -> onnx.ModelProto:
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir)


# The same in 64 bits


def in_double(model: onnx.ModelProto, feeds: Feeds) -> list[Array] | None:
    """The outputs with every float in 64 bits, None where that cannot be had.

    Node by node in ONNX Runtime, or else by ONNX's own definition of each operator.
    """
    values: dict[str, Array] = {"": np.zeros(0)}
    for tensor in model.graph.initializer:
        values[tensor.name] = _double(numpy_helper.to_array(tensor))
    values |= {name: _double(array) for name, array in feeds.items()}
    opsets = {item.domain: item.version for item in model.opset_import}
    for node in model.graph.node:
        made = _node_in_double(node, values, opsets)
        if made is None:
            return None
        values |= dict(zip([name for name in node.output if name], made, strict=False))
    return [values[info.name] for info in model.graph.output]


def _double(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _floats(taken: Feeds) -> list[Array]:
    return [array for array in taken.values() if array.dtype.kind == "f"]


_LOSES_NAN = ("Max", "Min", "ReduceMax", "ReduceMin", "MaxPool")


def _local_response(x: Array, node: NodeProto, opset: int) -> Array:
    """LRN; ONNX Runtime's sum runs from channel to channel, and keeps what was not finite."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    del opset
    size = given["size"]
    first = (size - 1) // 2
    squares = np.pad(x * x, [(0, 0), (first, size - 1 - first), *([(0, 0)] * (x.ndim - 2))])
    total = sum(squares[:, start : start + x.shape[1]] for start in range(size))
    scale = given.get("bias", 1.0) + given.get("alpha", 1e-4) / size * total
    return np.asarray(x / scale ** given.get("beta", 0.75))


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.where(x < 0, np.exp(x), 1.0) / (1 + np.exp(-np.abs(x))))


def _swish(x: Array, node: NodeProto, opset: int) -> Array:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    del opset
    return np.asarray(x * _sigmoid(given.get("alpha", 1.0) * x))


def _softmax(x: Array, node: NodeProto, opset: int) -> Array:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis = given.get("axis", -1 if opset >= 13 else 1) % x.ndim
    axes = (axis,) if opset >= 13 else tuple(range(axis, x.ndim))
    rest = x - x.max(axes, keepdims=True)
    total = np.exp(rest).sum(axes, keepdims=True)
    return np.asarray(rest - np.log(total) if "Log" in node.op_type else np.exp(rest) / total)


def _log_sum_exp(x: Array, node: NodeProto, opset: int, axes: Array | None = None) -> Array:
    """As it is of one element: that element, however small."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    del opset
    named = given.get("axes", () if axes is None else axes.tolist())
    along = tuple(named) or (() if given.get("noop_with_empty_axes") else tuple(range(x.ndim)))
    top = x.max(along, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.log(np.exp(x - top).sum(along, keepdims=True)) + top
    return np.asarray(total if given.get("keepdims", 1) else total.squeeze(along))


def _shrink(x: Array, node: NodeProto, opset: int) -> Array:
    """ONNX Runtime computes those of 64 bits in 32."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    del opset
    threshold, bias = given.get("lambd", 0.5), given.get("bias", 0.0)
    return np.where(x < -threshold, x + bias, np.where(x > threshold, x - bias, 0.0))


def _layer_norm(x: Array, node: NodeProto, opset: int, *rest: Array) -> tuple[Array, ...]:
    """As ONNX defines it: the mean of what holds one infinity is infinite."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    del opset
    axes = tuple(range(given.get("axis", -1) % x.ndim, x.ndim))
    mean = x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + given.get("epsilon", 1e-5))
    scale, bias = (*rest, 0.0)[:2]
    return ((x - mean) * inverse * scale + bias, mean, inverse)[: len(node.output)]


def _mean_variance(x: Array, node: NodeProto, opset: int) -> Array:
    """As ONNX defines it; ONNX Runtime leaves out the 1e-9, and divides 0 by 0 where all is one."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    del opset
    axes = tuple(given.get("axes", (0, 2, 3)))
    rest = x - x.mean(axes, keepdims=True)
    return np.asarray(rest / (np.sqrt((rest * rest).mean(axes, keepdims=True)) + 1e-9))


# Where ONNX Runtime loses NaN, spreads or makes it, or loses what is small beside 1, also in 64
# bits.
_BY_HAND: dict[str, Callable[..., Array | tuple[Array, ...]]] = {
    "GlobalMaxPool": lambda x, *_: x.max(axis=tuple(range(2, x.ndim)), keepdims=True),
    "Sigmoid": lambda x, *_: _sigmoid(x),
    "Swish": _swish,
    "Softplus": lambda x, *_: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0),
    "LRN": _local_response,
    "ReduceLogSumExp": _log_sum_exp,
    "Shrink": _shrink,
    "LayerNormalization": _layer_norm,
    "MeanVarianceNormalization": _mean_variance,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
}


def _node_in_double(
    node: NodeProto, values: Mapping[str, Array], opsets: Mapping[str, int]
) -> list[Array] | None:
    from onnx.reference import ReferenceEvaluator

    wide = NodeProto()
    wide.CopyFrom(node)
    for attribute in wide.attribute:
        if attribute.name == "to" and attribute.i in (TensorProto.FLOAT, TensorProto.FLOAT16):
            attribute.i = TensorProto.DOUBLE
        if attribute.type == onnx.AttributeProto.TENSOR:
            made = _double(numpy_helper.to_array(attribute.t))
            attribute.t.CopyFrom(numpy_helper.from_array(made))
    names = list(dict.fromkeys(name for name in node.input if name))
    taken = {name: values[name] for name in names if name in values}
    if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute):
        return None
    first, *rest = [taken[name] for name in node.input if name] or [np.zeros(0)]
    if node.op_type in _BY_HAND and not node.domain and first.dtype.kind == "f":
        with np.errstate(all="ignore"):
            made = _BY_HAND[node.op_type](first, node, opsets[""], *rest)
        return list(made) if isinstance(made, tuple) else [made]
    if node.op_type in _LOSES_NAN and any(np.isnan(a).any() for a in _floats(taken)):
        # ONNX Runtime keeps a NaN or drops it, by where it lies; here it stays.
        sign = -1.0 if "Min" in node.op_type else 1.0
        without, marks = dict(values), dict(values)
        for name, array in taken.items():
            if array.dtype.kind == "f":
                without[name] = np.where(np.isnan(array), -sign * np.inf, array)
                marks[name] = np.where(np.isnan(array), sign, -sign * np.inf)
        plain, marked = (_node_in_double(node, given, opsets) for given in (without, marks))
        if plain is None or marked is None:
            return None
        return [np.where(sign * marked[0] > 0, np.nan, plain[0]), *plain[1:]]
    for width in (np.float64, np.float32):
        given = {name: a.astype(width) if a.dtype == np.float64 else a for name, a in taken.items()}
        form = wide if width == np.float64 else node
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), None)
            for name, a in given.items()
        ]
        tensors = [numpy_helper.from_array(a, name) for name, a in given.items()]
        # As constants first, for some operators take them in no other way.
        for graph, feeds in (
            (helper.make_graph([form], "node", [], outputs, tensors), {}),
            (helper.make_graph([form], "node", infos, outputs), given),
        ):
            model = model_of(graph, opsets)
            try:
                return [_double(array) for array in run(session(model), feeds)]
            except Unfit:
                pass
            # It leaves NaN out of means, and multiplies infinities by zero.
            if feeds and width == np.float64 and all(np.isfinite(a).all() for a in _floats(taken)):
                try:
                    with np.errstate(all="ignore"):
                        results = ReferenceEvaluator(model).run(None, feeds)
                    return [_double(np.asarray(array)) for array in results]
                except Exception:
                    pass
    return None
