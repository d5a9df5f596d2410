"""The prunable layers of an ONNX model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import onnx

from gossamer.formats.onnx_message import copy_model
from gossamer.graphs.nodes import subgraphs
from gossamer.models.adapter import Layer, LeftOut
from gossamer.models.onnx_constants import (
    BROKEN,
    FLOATS,
    Apart,
    Constants,
    Stored,
    constants,
    count_zeros,
    is_weight,
)
from gossamer.models.onnx_forms import FORMS, Form


class Place(NamedTuple):
    """A node, and what it sees.

    Attributes:
        node: of the main graph or of one within it.
        constants: that it can read.
        at: the index of the main graph's node that it is, or is in.
        inner: whether it is in a graph within that node.
    """

    node: onnx.NodeProto
    constants: Constants
    at: int
    inner: bool


@dataclass(frozen=True)
class Use:
    """A node that multiplies by a layer's weight.

    Attributes:
        inputs: names its other operand; None where what it is multiplied by cannot be seen.
        at: the index of the main graph's node that it is, or is in.
        left: the weight is the first operand, and the inputs are columns.
    """

    node: onnx.NodeProto
    inputs: str | None
    at: int
    left: bool = False


@dataclass
class OnnxLayer:
    """A layer with the tensor that holds its weight.

    Attributes:
        weight: the tensor, read as `[rows, columns]`.
        uses: more than one if nodes share the weight.
        stack: of stacked products, the leading axes; together as many as there are groups.
    """

    layer: Layer
    weight: Stored
    uses: list[Use] = field(default_factory=list)
    stack: tuple[int, ...] = ()


def find_layers(model: onnx.ModelProto, apart: Apart | None = None) -> list[OnnxLayer]:
    """Return the nodes that multiply by a constant weight, in graph order; see `FORMS`.

    The weight may be stored in another form; see `gossamer.models.onnx_constants`. One that
    several nodes share is one layer, named after the first of them for which zeros gain something,
    or the first. A layer bears its node's name where that is unique, else the name of what it
    multiplies by. Within inner graphs, such as the branches of an If, no kernel skips zeros.

    Args:
        model: the model.
        apart: elements of tensors that the model does not hold itself.
    """
    places = list(find_places(model, apart or {}))
    names = Counter(place.node.name for place in places)
    found: dict[int, OnnxLayer] = {}
    for place, form in sorted(_forms(places), key=lambda pair: not _gains(*pair)):
        node, tensor = place.node, form.weight.tensor
        name = node.name if node.name and names[node.name] == 1 else node.input[form.position]
        layer = Layer(
            name + form.part if name == node.name else name,
            form.kind,
            rows=form.weight.dims[0],
            columns=form.weight.dims[1],
            groups=form.groups,
            depthwise=form.depthwise,
            kernel=form.kernel,
            itemsize=onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize,
            gain=_gains(place, form),
        )
        known = found.setdefault(id(tensor), OnnxLayer(layer, form.weight, stack=form.stack))
        if known.weight.steps == form.weight.steps and known.layer.groups == layer.groups:
            inputs = None if place.inner else form.inputs
            known.uses.append(Use(node, inputs, place.at, form.left))
    order = {id(place.node): index for index, place in enumerate(places)}
    in_order = sorted(found.values(), key=lambda layer: order[id(layer.uses[0].node)])
    return _with_blocks(_named_apart(in_order))


def _forms(places: list[Place]) -> Iterator[tuple[Place, Form]]:
    for place in places:
        domain = "" if place.node.domain == "ai.onnx" else place.node.domain
        describe = FORMS.get((place.node.op_type, domain))
        try:
            forms = list(describe(place.node, place.constants)) if describe else []
        except BROKEN:
            continue
        for form in forms:
            weight = form.weight
            if weight.kind in FLOATS and is_weight(weight.tensor):
                yield place, form


def _gains(place: Place, form: Form) -> bool:
    return form.gain and not place.inner


def find_places(model: onnx.ModelProto, apart: Apart) -> Iterator[Place]:
    """Yield every node of a model, those of inner graphs behind the node that holds them."""

    def within(graph: onnx.GraphProto, around: Constants | None, at: int) -> Iterator[Place]:
        known = constants(graph, apart, around)
        for index, node in enumerate(graph.node):
            index = at if around is not None else index
            yield Place(node, known, index, around is not None)
            for inner in subgraphs(node):
                yield from within(inner, known, index)

    yield from within(model.graph, None, 0)


def find_left_out(model: onnx.ModelProto, layers: list[OnnxLayer], apart: Apart) -> list[LeftOut]:
    """Return the weights of two axes or more that no layer holds, and that some node reads."""
    held = {id(found.weight.tensor) for found in layers}
    left: dict[int, tuple[Stored, LeftOut]] = {}
    # Of what is computed from constants alone: the tensors behind it, and the operator.
    computed: dict[str, tuple[tuple[Stored, ...], str]] = {}
    for place in find_places(model, apart):
        node = place.node
        sources = {
            name: ((place.constants[name],), "") if name in place.constants else computed[name]
            for name in node.input
            if name in place.constants or name in computed
        }
        behind = [stored for tensors, _ in sources.values() for stored in tensors]
        alone = len(sources) == len({name for name in node.input if name})
        if sources and alone and not any(subgraphs(node)):
            operator = next((kind for _, kind in sources.values() if kind), node.op_type)
            computed.update(dict.fromkeys(node.output, (tuple(behind), operator)))
            continue
        for name, (tensors, operator) in sources.items():
            for stored in tensors:
                tensor = stored.tensor
                axes = sum(size > 1 for size in tensor.dims)
                if id(tensor) in held or axes < 2 or not is_weight(tensor):
                    continue
                reason = (
                    f"the weight is computed by {operator}"
                    if operator
                    else "how this operator uses its weight is not known"
                )
                told = LeftOut(stored.key or name, node.op_type, stored.size, reason)
                # A tensor is known by its identity for as long as somebody holds it.
                left.setdefault(id(tensor), (stored, told))
    return [told for _, told in left.values()]


def count_weights(model: onnx.ModelProto, layers: list[OnnxLayer], apart: Apart) -> tuple[int, int]:
    """Return the number of weights in a model, and how many are zero as nodes read them."""
    stored = {id(found.weight.tensor): found.weight for found in layers}
    for place in find_places(model, apart):
        for known in place.constants.values():
            if is_weight(known.tensor):
                stored.setdefault(id(known.tensor), known)
    total = sum(known.size for known in stored.values())
    return total, sum(count_zeros(known, apart) for known in stored.values())


def name_uses(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a name of its own for each node whose layer's zeros are skipped.

    Those that compile a model tell of its nodes by their names. Where all have one already, it is
    the given model itself, else a copy, in which the layers keep their names.
    """
    names = Counter(node.name for node in model.graph.node)
    uses = [use for found in find_layers(model) if found.layer.gain for use in found.uses]
    if all(use.node.name and names[use.node.name] == 1 for use in uses):
        return model
    named = copy_model(model)
    for found in find_layers(named):
        for number, use in enumerate(found.uses if found.layer.gain else ()):
            if not use.node.name or names[use.node.name] > 1:
                use.node.name = f"{found.layer.name}#{number}" if number else found.layer.name
    return named


def _named_apart(layers: list[OnnxLayer]) -> list[OnnxLayer]:
    """Number the layers that would bear the name of an earlier one."""
    met: Counter[str] = Counter()
    for found in layers:
        name = found.layer.name
        met[name] += 1
        if met[name] > 1:
            found.layer = replace(found.layer, name=f"{name}:{met[name]}")
    return layers


def _with_blocks(layers: list[OnnxLayer]) -> list[OnnxLayer]:
    """Fill in `Layer.block` from the names: a numbered part that holds several layers."""
    numbered = re.compile(r"^.*?[./]\d+(?=[./])")
    holders = {
        found.layer.name: match[0]
        for found in layers
        if (match := numbered.match(found.layer.name))
    }
    members = Counter(holders.values())
    for found in layers:
        block = holders.get(found.layer.name)
        if block is not None and members[block] > 1:
            found.layer = replace(found.layer, block=block)
    return layers


def operands(node: onnx.NodeProto) -> Iterator[str]:
    """Yield every value that a node reads, those that its subgraphs take from outside included."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        inner = {value.name for value in graph.input}
        inner |= {tensor.name for tensor in graph.initializer}
        for member in graph.node:
            yield from (name for name in operands(member) if name not in inner)
            inner.update(member.output)
        yield from (value.name for value in graph.output if value.name not in inner)
