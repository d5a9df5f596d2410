"""From a model to a graph: constants wherever they are, symbols, and what is folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gossamer.errors import ModelError
from gossamer.graphs.dims import Dim
from gossamer.runtime import compile
from gossamer.runtime.memory import ConstantMemory
from gossamer.runtime.onnx_import import import_model
from gossamer.runtime.protos import to_proto

f32 = np.float32


def test_open_sizes_become_symbols_and_unnamed_ones_get_a_name(model: Any) -> None:
    small = model("(float[B, 3] x, float[B, M] z) => (float[B, 3] y) { y = Add(x, x) }")
    small.graph.input[1].type.tensor_type.shape.dim[1].ClearField("dim_param")
    graph = import_model(small)
    assert graph.inputs[0].shape == (Dim.symbol("B"), 3)
    assert graph.inputs[1].shape == (Dim.symbol("B"), Dim.symbol("z.1"))


def test_a_constant_node_is_a_constant(
    model: Any, agrees: Any, random: np.random.Generator
) -> None:
    small = model("(float[N, 4] x) => (float[N, 3] y) { y = MatMul(x, w) }")
    weight = random.standard_normal((4, 3)).astype(f32)
    node = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight))
    small.graph.node.insert(0, node)
    session = agrees(small, {"x": random.standard_normal((5, 4)).astype(f32)})
    assert [line.op for line in session.explain()].count("Linear") == 1


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"value_float": 2.5}, np.array(2.5, f32)),
        ({"value_floats": [1.0, 2.0]}, np.array([1, 2], f32)),
        ({"value_int": 7}, np.array(7)),
        ({"value_ints": [1, 2, 3]}, np.array([1, 2, 3])),
    ],
)
def test_constants_in_every_form(attribute: dict[str, Any], expected: Any) -> None:
    kind = helper.np_dtype_to_tensor_dtype(expected.dtype)
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], **attribute)],
        "constant",
        [],
        [helper.make_tensor_value_info("y", kind, expected.shape)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (y,) = compile(proto).run(None, {})
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


def sparse_tensor(name: str, weight: Any, flat: bool) -> onnx.SparseTensorProto:
    places = np.argwhere(weight)
    values = numpy_helper.from_array(weight[tuple(places.T)], name)
    if flat:
        places = np.ravel_multi_index(tuple(places.T), weight.shape)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places), weight.shape)


@pytest.mark.parametrize("flat", [True, False])
def test_sparse_initializers_are_weights(
    model: Any, agrees: Any, random: np.random.Generator, flat: bool
) -> None:
    weight = random.standard_normal((40, 30)).astype(f32) * (random.random((40, 30)) < 0.2)
    small = model("(float[N, 40] x) => (float[N, 30] y) { y = MatMul(x, w) }")
    small.graph.sparse_initializer.append(sparse_tensor("w", weight, flat))
    x = random.standard_normal((5, 40)).astype(f32)
    session = compile(small)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ weight, atol=1e-5)
    (sparsity,) = [line.sparsity for line in session.explain() if line.op == "Linear"]
    assert sparsity == pytest.approx(1 - np.count_nonzero(weight) / weight.size)


@pytest.mark.parametrize("wrong", [1200, -1])
def test_a_sparse_initializer_that_points_outside_itself_is_refused(model: Any, wrong: int) -> None:
    weight = np.zeros((40, 30), f32)
    weight[0, 0] = 1
    small = model("(float[N, 40] x) => (float[N, 30] y) { y = MatMul(x, w) }")
    sparse = sparse_tensor("w", weight, flat=True)
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([wrong])))
    small.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelError):
        compile(small)
    with pytest.raises(ModelError, match="contradicts itself"):
        import_model(small)


def test_a_sparse_initializer_whose_coordinates_lie_outside_is_refused(model: Any) -> None:
    small = model("(float[N, 40] x) => (float[N, 30] y) { y = MatMul(x, w) }")
    weight = np.eye(40, 30, dtype=f32)
    sparse = sparse_tensor("w", weight, flat=False)
    places = numpy_helper.to_array(sparse.indices).copy()
    places[-1] = (3, 30)
    sparse.indices.CopyFrom(numpy_helper.from_array(places))
    small.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelError):
        import_model(small)


def test_a_tensor_with_too_few_bytes_is_refused(model: Any) -> None:
    small = model("(float[N, 4] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4))
    small.graph.initializer[0].raw_data = small.graph.initializer[0].raw_data[:-3]
    with pytest.raises(ModelError):
        compile(small)
    with pytest.raises(ModelError, match="tensor 'w' is broken"):
        import_model(small)


def test_an_initializer_that_is_also_an_input_is_a_constant(model: Any) -> None:
    small = model(
        "(float[N, 4] x, float[4, 4] w) => (float[N, 4] y) { y = MatMul(x, w) }", w=np.eye(4)
    )
    assert [port.name for port in compile(small).get_inputs()] == ["x"]


def test_an_input_that_nothing_makes_is_named(model: Any) -> None:
    small = model("(float[N] x) => (float[N] y) { y = Add(x, x) }")
    small.graph.node[0].input[1] = "nowhere"
    with pytest.raises(ModelError, match="takes 'nowhere', which nothing makes"):
        import_model(small)


def test_an_output_that_nothing_makes_is_named(model: Any) -> None:
    small = model("(float[N] x) => (float[N] y) { z = Add(x, x) }")
    with pytest.raises(ModelError, match="output 'y' is made by no node"):
        import_model(small)


@pytest.mark.parametrize(("first", "second"), [(-1, -1), (-4, "N"), ("?", "?"), ("None", "None")])
def test_sizes_below_zero_and_placeholders_are_open_each_for_itself(
    model: Any, agrees: Any, first: int | str, second: int | str
) -> None:
    """As exporters write what they do not know."""
    small = model("(float[N, 4] x, float[M, 3] z) => (float[N, 4] y, float[M, 3] v) "
                  "{ y = Abs(x)  v = Abs(z) }")  # fmt: skip
    for info, size in zip(small.graph.input, (first, second), strict=True):
        found = info.type.tensor_type.shape.dim[0]
        found.Clear()
        if isinstance(size, int):
            found.dim_value = size
        else:
            found.dim_param = size
    feeds = {"x": np.ones((2, 4), np.float32), "z": np.ones((5, 3), np.float32)}
    agrees(small, feeds)


def test_constants_are_folded(after: Any, model: Any, random: np.random.Generator) -> None:
    weight = random.standard_normal((3, 4)).astype(f32)
    graph = after(
        model(
            """(float[N, 4] x) => (float[N, 3] y) {
                t = Transpose(w)  d = Mul(t, two)  y = MatMul(x, d) }""",
            w=weight,
            two=np.array(2.0),
        )
    )
    assert [node.op for node in graph.nodes] == ["MatMul"]
    np.testing.assert_array_equal(graph.nodes[0].source(1).data, 2 * weight.T)


def test_another_name_for_a_constant_is_the_constant(model: Any, agrees: Any) -> None:
    """Exporters write one for each layer that shares a weight."""
    small = model(
        """(float[N, 4] x) => (float[N, 4] y, float[4, 4] v) {
            a = Identity(w)  b = Identity(a)  v = Identity(w)
            m = MatMul(x, w)  n = MatMul(m, a)  y = MatMul(n, b) }""",
        w=np.arange(16.0).reshape(4, 4) / 16,
    )
    graph = import_model(small)
    assert len({node.source(1) for node in graph.nodes}) == 1
    assert [value.name for value in graph.outputs] == ["y", "v"]
    session = agrees(small, {"x": np.ones((2, 4), f32)})
    assert [port.name for port in session.get_outputs()] == ["y", "v"]


def test_layers_that_share_a_weight_share_its_memory(
    model: Any, monkeypatch: pytest.MonkeyPatch, random: np.random.Generator
) -> None:
    taken = []
    place = ConstantMemory._place

    def noted(self: ConstantMemory, array: Any) -> int:
        taken.append(array.nbytes)
        return place(self, array)

    monkeypatch.setattr(ConstantMemory, "_place", noted)
    weight = random.standard_normal((128, 128)).astype(f32)
    layers = "  ".join(f"s{n} = Identity(w)  h{n + 1} = MatMul(h{n}, s{n})" for n in range(8))
    text = f"(float[N, 8, 128] h0) => (float[N, 8, 128] y) {{ {layers}  y = Neg(h8) }}"
    compile(model(text, w=weight), engine="gossamer")
    assert sum(taken) < 2 * weight.nbytes


def test_a_constant_too_large_to_keep_is_not_folded(after: Any, model: Any) -> None:
    graph = after(
        model(
            "(float[N] x) => (float[A, B] y) { y = Expand(one, shape) }",
            one=np.array(1.0),
            shape=np.array([1 << 20, 1 << 20]),
        )
    )
    assert graph.outputs[0].data is None


def test_random_numbers_are_not_folded(after: Any, model: Any) -> None:
    graph = after(model("(float[N] x) => (float[3] y) { y = RandomNormal<shape=[3]>() }"))
    assert [node.op for node in graph.nodes] == ["RandomNormal"]


def test_a_node_becomes_the_same_node_again(after: Any, model: Any) -> None:
    small = model(
        """(float[B, 4, 9, 8] x) => (float[B, 6, H, W] y) {
            y = Conv<group=2, pads=[1, 0, 1, 0], auto_pad="NOTSET">(x, w) }""",
        w=np.ones((6, 2, 3, 3)),
    )
    (node,) = after(small).nodes
    before, again = small.graph.node[0], to_proto(node)
    assert (again.op_type, again.input, again.output) == (
        before.op_type,
        before.input,
        before.output,
    )
    assert {a.name: a for a in again.attribute} == {a.name: a for a in before.attribute}


def test_functions_of_the_model_are_inlined(model: Any, agrees: Any) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        small (float[N] x) => (float[N] y) { y = own.Twice(x) }
        <domain: "own", opset_import: ["" : 17]>
        Twice (a) => (b) { b = Add(a, a) }
    """
    agrees(onnx.parser.parse_model(text), {"x": np.arange(4, dtype=f32)})


def test_a_model_without_inputs_or_nodes_runs() -> None:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph(
        [], "nothing", [], [value], [numpy_helper.from_array(np.ones(2, f32), "y")]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert compile(proto).run(None, {})[0].tolist() == [1, 1]


LAST_BUT = {
    "start": np.array([-5]),
    "end": np.array([2**63 - 1]),
    "axis": np.array([1]),
    "step": np.array([2]),
    "pair": np.ones(2),
    "triple": np.ones(3),
    "row": np.arange(2.0).reshape(1, 2, 1),
    "w": np.ones((5, 2, 1)),
    "square": np.ones((2, 4)),
    "parts": np.array([1, 1]),
    "sizes": np.array([3, 2, 1]),
}


def cut_to(call: str) -> str:
    """A call on what is three elements long where there are five or more, and else may be two."""
    return f"""(float[3, N, 1] x) => (float[A, B, C] y) {{
        z = Slice(x, start, end, axis, step) {call} }}"""


@pytest.mark.parametrize(
    "call",
    [
        "y = GroupNormalization<num_groups=1>(z, pair, pair)",
        "y = GroupNormalization<num_groups=2>(z, pair, pair)",
        "y = InstanceNormalization(z, pair, pair)",
        "y = BatchNormalization(z, pair, pair, pair, pair)",
        "t = Transpose<perm=[0, 2, 1]>(z) y = LayerNormalization(t, pair)",
        "t = Transpose<perm=[0, 2, 1]>(z) y = RMSNormalization(t, pair)",
        "t = Transpose<perm=[0, 2, 1]>(z) y = MatMul(t, square)",
        "y = Add(z, row)",
        "c = Greater(z, row) y = Where(c, z, row)",
        "y = Conv(z, w)",
        "y, other = Split<axis=1>(z, parts)",
        "y = Reshape(z, sizes)",
        "y = Expand(z, sizes)",
        "y = Concat<axis=0>(z, row)",
    ],
)
def test_sizes_are_not_limited_to_those_that_a_model_cannot_have(
    model: Any, agrees: Any, call: str
) -> None:
    named = {name: array for name, array in LAST_BUT.items() if name in cut_to(call)}
    small = model(cut_to(call), 23, **named)
    assert import_model(small).limits == []
    agrees(small, {"x": np.arange(12, dtype=f32).reshape(3, 4, 1)}, native=False)


def test_sizes_are_limited_to_those_that_a_model_can_have(after: Any, model: Any) -> None:
    call = "y = GroupNormalization<num_groups=1>(z, triple, triple)"
    named = {name: array for name, array in LAST_BUT.items() if name in cut_to(call)}
    graph = after(model(cut_to(call), 23, **named))
    assert graph.limits == [(-Dim.symbol("N"), -5)]
    assert graph.outputs[0].shape == (3, 3, 1)
