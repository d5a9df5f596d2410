"""Every operator that may run natively, of every type that ONNX lets it take, in every form of it.

Whatever ONNX Runtime runs, the strict engine runs with the same result; what neither runs is
refused in one line. Exporters usually write float32 and 64-bit indices; no lowering may rely on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import defs, helper, numpy_helper

from gossamer.errors import GossamerError
from gossamer.runtime import compile
from gossamer.runtime.native import LEFT
from gossamer.runtime.ops import NATIVE

NEWEST = 21
KINDS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    **{
        f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}").type
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
OFTEN = (np.float32, np.float64, np.float16, np.bool_, np.int32, np.int64, np.uint8)


class Form(NamedTuple):
    """How an operator is called: shapes of inputs of the type, then constants, and attributes."""

    shapes: tuple[tuple[int, ...], ...] = ((3, 4),)
    constants: tuple[Any, ...] = ()
    attributes: Mapping[str, Any] = {}
    outputs: int = 1


def form_of(op: str, kind: Any, opset: int) -> Form:
    """The form in which an operator set has an operator."""

    def listed(name: str, numbers: list[int], since: int, *shape: int) -> Form:
        """Numbers that became an input with an operator set."""
        if opset < since:
            return Form((shape,), (), {name: numbers})
        return Form((shape,), (np.array(numbers),))

    pairs: dict[str, Callable[[], Form]] = {
        "Mod": lambda: Form(((3, 4), (4,)), (), {"fmod": int(np.dtype(kind).kind == "f")}),
        "Clip": lambda: (
            Form(((3, 4),), (kind(1), kind(3)))
            if opset >= 11
            else Form(((3, 4),), (), {"min": 0.0, "max": 1.0})
        ),
        "Concat": lambda: Form(((3, 4), (2, 4)), (), {"axis": 0}),
        "Split": lambda: Form(((4, 4),), (), {"num_outputs": 2} if opset >= 18 else {}, 2),
        "Gather": lambda: Form(((3, 4),), (np.array([0, 2], np.int32),)),
        "GatherElements": lambda: Form(((3, 4),), (np.array([[0, 2, -1, 1]], np.int32),)),
        "GatherND": lambda: Form(((3, 4),), (np.array([[0], [-1]]),)),
        "Slice": lambda: (
            Form(((3, 4),), (np.array([1]), np.array([3]), np.array([1])))
            if opset >= 10
            else Form(((3, 4),), (), {"starts": [1], "ends": [3], "axes": [1]})
        ),
        "Expand": lambda: Form(((3, 1),), (np.array([2, 1, 4]),)),
        "Tile": lambda: Form(((3, 2),), (np.array([2, 2]),)),
        "Pad": lambda: listed("pads", [1, 0, 0, 2], 11, 3, 2),
        "Unsqueeze": lambda: listed("axes", [1], 13, 3, 2),
        "Squeeze": lambda: listed("axes", [1], 13, 3, 1),
        "ReduceSum": lambda: listed("axes", [1], 13, 3, 4),
        "Reshape": lambda: Form(((3, 2),), (np.array([2, 3]),)),
        "CumSum": lambda: Form(((3, 4),), (np.array(1, np.int32),)),
        "DepthToSpace": lambda: Form(((1, 4, 2, 2),), (), {"blocksize": 2}),
        "SpaceToDepth": lambda: Form(((1, 1, 4, 4),), (), {"blocksize": 2}),
        "MatMul": lambda: Form(((3, 4), (4, 2))),
        "Gemm": lambda: Form(((3, 4), (4, 2), (2,))),
        "BatchNormalization": lambda: Form(((3, 4, 2), (4,), (4,), (4,), (4,))),
        "InstanceNormalization": lambda: Form(((3, 4, 2), (4,), (4,))),
        "GroupNormalization": lambda: Form(((3, 4, 2), (4,), (4,)), (), {"num_groups": 2}),
        "LayerNormalization": lambda: Form(((3, 4), (4,))),
    }
    if op in pairs:
        return pairs[op]()
    if op.startswith("Reduce"):
        return listed("axes", [1], 18, 3, 4)
    inputs = defs.get_schema(op, opset).min_input
    many = op in ("Max", "Min", "Sum", "Mean")
    return Form(((3, 4), (4,), (3, 1))[: 3 if many else inputs])


def cases(op: str) -> Iterator[tuple[int, Any]]:
    """Each operator set that defines an operator anew, with each type of its data."""
    seen = set()
    for opset in range(NEWEST, 6, -1):
        if not defs.has(op, opset, ""):
            continue
        schema = defs.get_schema(op, opset)
        if schema.since_version in seen:
            continue
        seen.add(schema.since_version)
        name = schema.inputs[1 if op == "Where" else 0].type_str
        kinds = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}
        yield from ((opset, KINDS[kind]) for kind in kinds.get(name, [name]) if kind in KINDS)


def elements(kind: Any, shape: tuple[int, ...], random: np.random.Generator) -> Any:
    """Numbers of a type; positive where a variance or an exponent must be."""
    if np.dtype(kind).kind == "f":
        return random.uniform(0.25, 2.5, shape).astype(kind)
    return random.integers(0 if kind is np.bool_ else 1, 6, shape).astype(kind)


def build(op: str, opset: int, kind: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    random = np.random.default_rng(0)
    form = form_of(op, kind, opset)
    feeds = {f"x{i}": elements(kind, shape, random) for i, shape in enumerate(form.shapes)}
    if op == "Where":
        feeds["x0"] = feeds["x0"] > 1
    constants = {f"c{i}": np.asarray(value) for i, value in enumerate(form.constants)}
    outputs = [f"y{i}" for i in range(form.outputs)]
    node = helper.make_node(op, [*feeds, *constants], outputs, **form.attributes)
    inputs = [helper.make_tensor_value_info(name, *_typed(x)) for name, x in feeds.items()]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "one", inputs, [], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    for name in outputs:
        # ONNX infers nothing for a few: their output is like their input.
        like = helper.make_tensor_value_info(name, *_typed(feeds["x0"]))
        model.graph.output.append(inferred.get(name, like))
    return model, feeds


def _typed(array: Any) -> tuple[int, tuple[int, ...]]:
    return helper.np_dtype_to_tensor_dtype(array.dtype), array.shape


def check(op: str, opset: int, kind: Any, reference: Any, close: Any) -> None:
    model, feeds = build(op, opset, kind)
    try:
        wanted = reference(model, feeds)
    except Exception:
        wanted = None
    try:
        found = compile(model, threads=1, engine="gossamer").run(None, feeds)
    except GossamerError:
        assert wanted is None, "refused, though ONNX Runtime runs it"
        return
    tolerance = {np.float16: 2e-3, np.float32: 2e-5}.get(kind, 1e-6)
    for ours, theirs in zip(found, wanted or [], strict=wanted is not None):
        close(ours, theirs, tolerance)


NODES = sorted(
    op
    for op, how in NATIVE.items()
    if how is not LEFT
    and defs.has(op, NEWEST, "")
    and op not in ("Constant", "Range", "OneHot", "CastLike", "Cast")
)


@pytest.mark.parametrize("op", NODES[::3])
def test_the_types_that_models_are_of(op: str, reference: Any, close: Any) -> None:
    """In the newest operator set, of every third operator; all are among the slow tests."""
    newest = max(opset for opset, _ in cases(op))
    for opset, kind in cases(op):
        if opset == newest and kind in OFTEN:
            check(op, opset, kind, reference, close)


@pytest.mark.slow
@pytest.mark.parametrize("op", NODES)
def test_every_type_in_every_operator_set(op: str, reference: Any, close: Any) -> None:
    for opset, kind in cases(op):
        check(op, opset, kind, reference, close)


INTEGERS = [np.int32, np.int64]


@pytest.mark.parametrize("wanted", sorted(KINDS))
def test_casts_from_every_type(reference: Any, close: Any, wanted: str) -> None:
    to = helper.np_dtype_to_tensor_dtype(np.dtype(KINDS[wanted]))
    for kind in KINDS.values():
        x = elements(kind, (3, 4), np.random.default_rng(0))
        info = helper.make_tensor_value_info("x", *_typed(x))
        graph = helper.make_graph(
            [helper.make_node("Cast", ["x"], ["y"], to=to)],
            "cast",
            [info],
            [helper.make_tensor_value_info("y", to, [3, 4])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        (found,) = compile(model, threads=1, engine="gossamer").run(None, {"x": x})
        close(found, reference(model, {"x": x})[0], 1e-6)


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("indices", [[0, 2, 1], [-1, 0, -3], [[0, 1], [2, -1]], 2, -1])
def test_indices_of_every_width(
    model: Any, agrees: Any, kind: Any, opened: bool, indices: Any
) -> None:
    """Constant or not, in range or counted from the end, with a reduction or a layer beside."""
    i = np.array(indices, kind)
    name, rank = np.dtype(kind).name, ", ".join("ABCD"[: i.ndim + 1])
    port = f", {name}[{', '.join(map(str, i.shape))}] i" if opened else ""
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    feeds |= {"i": i} if opened else {}
    for nodes in ("y = Gather(x, i)", "a = MatMul(x, w)  y = Gather(a, i)"):
        small = model(
            f"(float[3, 4] x{port}) => (float[{rank}] y) {{ {nodes} }}",
            w=np.random.default_rng(1).standard_normal((4, 4)),
            **({} if opened else {"i": i}),
        )
        for value in small.graph.input:
            # The text has no way to say that there are no axes.
            value.type.tensor_type.shape.SetInParent()
        agrees(small, feeds, tolerance=1e-5)


@pytest.mark.parametrize("kind", ["int32", "int64", "float", "double"])
@pytest.mark.parametrize("op", ["Add", "Mul", "Div", "Less", "Max", "Concat<axis=0>"])
def test_sizes_of_every_type(model: Any, agrees: Any, kind: str, op: str) -> None:
    """What a model computes from its input's shape, cast and used as numbers."""
    to = {"float": 1, "int32": 6, "int64": 7, "double": 11}[kind]
    result = "bool" if op == "Less" else kind
    small = model(
        f"""(float[N, M] z, {kind}[2] x) => ({result}[K] y) {{
            s = Shape(z)  c = Cast<to={to}>(s)  y = {op}(c, x) }}"""
    )
    x = np.array([2, 5]).astype({"float": "float32", "double": "float64"}.get(kind, kind))
    agrees(small, {"z": np.zeros((3, 4), np.float32), "x": x})


@pytest.mark.parametrize("kind", INTEGERS)
def test_one_size_of_every_width(model: Any, agrees: Any, kind: Any) -> None:
    name = np.dtype(kind).name
    small = model(
        f"""(float[N, M] z, {name}[2] x) => ({name}[2] y) {{ s = Shape(z)  g = Gather(s, one)
            c = Cast<to={6 if kind is np.int32 else 7}>(g)  y = Mul(x, c) }}""",
        one=np.array(1),
    )
    agrees(small, {"z": np.zeros((3, 4), np.float32), "x": np.array([2, 5], kind)})
