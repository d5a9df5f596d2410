"""From an ONNX model to the graph: check it, fold what is constant, infer types and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from gossamer.errors import ModelError
from gossamer.graphs.contents import LIMIT
from gossamer.graphs.dims import LARGEST, Dim, Misfit, Size, UnknownSize
from gossamer.graphs.inferred import NOT_INFERRED, Inferred
from gossamer.graphs.operation import Array, Shape
from gossamer.graphs.ops import OPERATORS, facts
from gossamer.graphs.tensors import tensor_array
from gossamer.runtime.folding import fold
from gossamer.runtime.graph import Graph, Node, Value, constant
from gossamer.runtime.hints import fits, hints
from gossamer.runtime.protos import (
    attributes_of,
    captured_by,
    constant_array,
    declared_value,
    sparse_array,
)

# Operators whose types and shapes need no other's word.
_RULED = {"Constant", *(name for name, operator in OPERATORS.items() if operator.typed)}

# Bytes of constants that are computed ahead, in all, beside so many times those of the model's own:
# enough for masks and tables that exporters write as operators, and for weights stored in 8 bits or
# arranged anew. A few bytes can ask for any size; what is more is computed in each run, or refused.
_FOLDED, _FOLDED_TO_STORED = 256 << 20, 8
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def import_model(model: onnx.ModelProto, weights: Mapping[str, Array] | None = None) -> Graph:
    """Make a graph of a checked model.

    Sizes that the model leaves open become symbols, so that one graph serves every batch size and
    sequence length.

    Args:
        model: the model.
        weights: elements of those among its inputs that are constant.

    Raises:
        ModelError: if the model is not valid ONNX.
    """
    for may_limit, may_determine in ((True, True), (False, True), (False, False)):
        known: dict[str, int] = {}
        while True:
            importer = _Importer(model, weights or {}, known, may_limit)
            graph = importer.graph()
            if (known or graph.limits) and importer.runs_nowhere(graph):
                # What was taken for likely is not: the model is for other sizes.
                break
            found = importer.inferred.determined if may_determine else {}
            more = {symbol: number for symbol, number in found.items() if number is not None}
            if not more:
                return graph
            # A size that the weights leave no choice is a number from the start.
            known |= more
    raise AssertionError("nothing was taken for likely")


class _Importer:
    def __init__(
        self,
        model: onnx.ModelProto,
        weights: Mapping[str, Array],
        known: Mapping[str, int],
        may_limit: bool,
    ) -> None:
        self.model = model
        self.known = known
        self.values = {name: constant(name, array) for name, array in weights.items()}
        self.nodes: list[Node] = []
        self.limits: list[tuple[Size, int]] = []
        self.opsets = {
            "" if item.domain == "ai.onnx" else item.domain: item.version
            for item in model.opset_import
        }
        self.opset = self.opsets.get("", 0)
        self.outputs = {info.name for info in model.graph.output}
        self.inferred = Inferred(self.opset, self.limits, _FOLDED, may_limit=may_limit)

    def graph(self) -> Graph:
        source = self.model.graph
        for tensor in source.initializer:
            self._add(constant(tensor.name, tensor_array(tensor)))
        for sparse in source.sparse_initializer:
            self._add(constant(sparse.values.name, sparse_array(sparse)))
        stored = sum(value.data.nbytes for value in self.values.values() if value.data is not None)
        self.inferred.may_fold += _FOLDED_TO_STORED * stored
        inputs = []
        for info in source.input:
            if info.name not in self.values:
                inputs.append(self._add(self._input(info)))
        found = hints(self.model, inputs, _RULED)
        for proto in source.node:
            self._node(proto, found)
        try:
            outputs = [self.values[info.name] for info in source.output]
        except KeyError as error:
            raise ModelError(
                f"the model's output {error} is made by no node; export it anew"
            ) from None
        graph = Graph(inputs, outputs, self.nodes, self.limits, self.opsets)
        graph.drop_unused()
        return graph

    def runs_nowhere(self, graph: Graph) -> bool:
        """Whether sizes do not fit each other, wherever the inputs are within the limits."""
        return self.inferred.misfits or not fits(self.model, graph, _RULED)

    def _input(self, info: onnx.ValueInfoProto) -> Value:
        value = declared_value(info)
        value.stated = value.shape
        if value.shape is not None:
            value.shape = tuple(
                self.known.get(str(size), size) if isinstance(size, Dim) else size
                for size in value.shape
            )
        return value

    def _add(self, value: Value) -> Value:
        self.values[value.name] = value
        return value

    def _node(self, proto: onnx.NodeProto, found: Mapping[str, Value]) -> None:
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        if proto.op_type == "Constant" and not domain:
            self._add(constant(proto.output[0], constant_array(proto)))
            return
        inputs: list[Value | None] = []
        for name in proto.input:
            if name and name not in self.values:
                raise ModelError(
                    f"node {proto.name or proto.op_type!r} takes {name!r}, which nothing makes; "
                    "export the model anew"
                )
            inputs.append(self.values[name] if name else None)
        if proto.op_type == "Identity" and not domain and self._is_inner(proto, inputs):
            self.values[proto.output[0]] = self.values[proto.input[0]]
            return
        captured = [name for name in captured_by(proto) if name in self.values]
        inputs += [self.values[name] for name in captured]
        attributes = attributes_of(proto, self.opset)
        outputs = [self._add(Value(name)) if name else Value("") for name in proto.output]
        node = Node(proto.op_type, inputs, outputs, attributes, domain, proto.name)
        if any(value.type in _GRAPHS for value in proto.attribute):
            attributes["captured"] = captured
        if domain:
            _follow(node, found)
        else:
            infer(node, self.inferred, found)
            if all(output.data is not None for output in outputs if output.name):
                return
        self.nodes.append(node)

    def _is_inner(self, proto: onnx.NodeProto, inputs: Sequence[Value | None]) -> bool:
        """Whether a node gives another name to a constant, as exporters do for each user of one.

        An output of the model is a value of its own, which keeps its name.
        """
        return (
            len(inputs) == len(proto.output) == 1
            and inputs[0] is not None
            and inputs[0].data is not None
            and proto.output[0] not in self.outputs
        )


def infer(node: Node, inferred: Inferred, hints: Mapping[str, Value]) -> None:
    """Give a node's outputs their types, shapes, and elements where they are constant.

    Args:
        node: a node of ONNX's own operators, whose inputs have theirs.
        inferred: the operator set that the node is of; takes limits on the input's sizes.
        hints: values of known type and shape by name, for operators without a rule.
    """
    rule = facts(node).typed
    if rule is not None:
        limits = list(inferred.limits)
        try:
            results = rule(node, inferred)
            for _, shape in results:
                _bound_below(shape, inferred)
        except NOT_INFERRED as why:
            # What does not run natively limits nothing.
            inferred.limits[:] = limits
            inferred.misfits |= isinstance(why, Misfit)
        else:
            for output, (dtype, shape) in zip(node.outputs, results, strict=False):
                output.dtype, output.shape = dtype, shape
    _follow(node, hints)
    _infer_content(node, inferred)
    fold(node, inferred)
    for output in node.outputs:
        if output.data is not None:
            # Nothing makes it any more.
            output.producer = None


def _follow(node: Node, hints: Mapping[str, Value]) -> None:
    """Give a node's outputs what is known of them by name, where no rule says it.

    What ONNX infers of an operator that has a rule is not relied on, nor what follows from that:
    where an axis is open it errs (a Slice of operator set 10 keeps its length).
    """
    relied_on = facts(node).typed is None and all(
        value is None or _is_taken_for_what_it_is(value, hints) for value in node.inputs
    )
    for output in node.outputs:
        hint = hints.get(output.name)
        if hint is not None and not output.known:
            output.dtype = output.dtype or hint.dtype
            if output.shape is None and relied_on:
                output.shape = hint.shape


def _is_taken_for_what_it_is(value: Value, hints: Mapping[str, Value]) -> bool:
    hint = hints.get(value.name)
    return hint is None or hint.shape is None or hint.shape == value.shape


def follows_rule(node: Node) -> bool:
    """Whether the types and shapes of a node's outputs are those that its rule, if any, gives.

    Where they come from elsewhere (the model itself may state them), generated code must not rely
    on them.
    """
    rule = facts(node).typed
    if rule is None:
        return True
    try:
        given = rule(node, Inferred(0, []))
    except NOT_INFERRED:
        return False
    found = [(output.dtype, output.shape) for output in node.outputs]
    return found[: len(given)] == given[: len(found)]


def has_rule(node: Node) -> bool:
    """Whether there is a rule for the types and shapes of a node's outputs, and they follow it."""
    return facts(node).typed is not None and follows_rule(node)


def why_unknown(node: Node) -> str:
    """Which type or shape about a node only a run knows, and why; empty if all are known."""
    for value in (*node.inputs, *node.outputs):
        if value is None or value.known:
            continue
        missing = {"type": value.dtype is None, "shape": value.shape is None}
        kinds = " and ".join(kind for kind, is_missing in missing.items() if is_missing)
        verb = "are" if all(missing.values()) else "is"
        named = repr(value.name) if value.name else "an output without a name"
        reason = f"the {kinds} of {named} {verb} known only when the model runs"
        rule = None if value in node.inputs else facts(node).typed
        try:
            if rule is not None:
                rule(node, Inferred(0, []))
        except UnknownSize as why:
            return f"{reason}: {why}"
        except NOT_INFERRED:
            pass
        return reason
    return ""


def _bound_below(shape: Shape, inferred: Inferred) -> None:
    """Limit the input's sizes to those for which each open size of a shape is at least 1.

    Like the input's own: generated code may read an element that serves for what is not there.

    Raises:
        UnknownSize: if one never is, or a number is negative.
    """
    for size in shape:
        inferred.at_least(size, 1 if isinstance(size, Dim) else 0)


def _infer_content(node: Node, inferred: Inferred) -> None:
    """Follow integer tensors that hold sizes, so that reshapes are known before they run."""
    rule = facts(node).content
    output = node.outputs[0]
    if rule is None or output.dtype is None or output.dtype.kind not in "ib":
        return
    try:
        content = rule(node, inferred)
        if content is None or content.size > LIMIT:
            return
        if any(isinstance(item, int) and abs(item) > LARGEST for item in content.reshape(-1)):
            return
        known = not any(isinstance(item, Dim) for item in content.reshape(-1))
        data = content.astype(output.dtype) if known else None
    except NOT_INFERRED:
        return
    output.content, output.data = content, data
    output.shape = tuple(content.shape)
