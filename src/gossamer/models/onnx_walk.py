"""Calibrating an ONNX model part by part, so that later layers see earlier sparse outputs.

The graph is cut behind each group of layers. A part is run once with the group's layers dense to
record their inputs and, when the caller has pruned them, once more for the values that cross the
cut; these feed the next part. So the whole walk costs about two runs of the model.

With a dense twin beside it, each layer's inputs come with the outputs that it should give; a group
is then cut into parts, the layers with the same inputs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from gossamer.errors import DataError, ModelError
from gossamer.models.adapter import Batch, Record
from gossamer.models.onnx_layers import OnnxLayer, attribute, constants, operands, read
from gossamer.models.onnx_targets import Aim, find_aim, find_consumers
from gossamer.models.python_file import describe
from gossamer.models.unfold import unfold

if TYPE_CHECKING:
    from torch import Tensor

Values = dict[str, np.ndarray[Any, Any]]


class OnnxWalk:
    """One walk through a model; see `ModelAdapter.walk`.

    Args:
        model: whose weights the caller may change on the way.
        batches: calibration batches.
        chosen: the layers to record, by name.
        record: receives their inputs.
        dense: the same model before any change: says what the layers should give.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        batches: Sequence[Batch],
        chosen: Mapping[str, OnnxLayer],
        record: Record,
        *,
        dense: onnx.ModelProto | None = None,
    ) -> None:
        self._twin = OnnxWalk(dense, batches, chosen, record) if dense is not None else None
        self._model = model
        self._batches = batches
        self._chosen = chosen
        self._record = record
        self._position = {
            output: at for at, node in enumerate(model.graph.node) for output in node.output
        }
        self._constants = constants(model.graph)
        self._consumers = find_consumers(model.graph)
        self._shell = onnx.ModelProto(
            ir_version=model.ir_version,
            opset_import=model.opset_import,
            functions=model.functions,
        )

    def run(self, groups: Sequence[Sequence[str]]) -> Iterator[list[str]]:
        """Record group after group in graph order; yield each (part) before going on."""
        if self._twin:
            groups = [part for group in groups for part in self._by_inputs(group)]
        parts = self._parts(groups)
        alive = [self._feeds(batch) for batch in self._batches]
        twins = list(alive)
        for index, (names, end) in enumerate(parts):
            self._record_part(names, alive, twins)
            yield names
            if index + 1 < len(parts):
                crossing = self._crossing(end)
                alive = self._cross(crossing, alive)
                if self._twin:
                    twins = self._twin._cross(crossing, twins)

    def _by_inputs(self, group: Sequence[str]) -> list[list[str]]:
        """Return a group in parts: the layers with the same inputs."""
        parts: dict[str, list[str]] = {}
        for name in group:
            parts.setdefault(self._chosen[name].uses[0].inputs, []).append(name)
        return list(parts.values())

    def _cross(self, crossing: Sequence[str], alive: Sequence[Values]) -> list[Values]:
        return [
            {name: values[name] for name in crossing} for values in self._compute(crossing, alive)
        ]

    def outputs(self) -> Iterator[list[Tensor]]:
        """Yield the model's floating-point outputs, batch by batch, padding left out."""
        import torch

        from gossamer.models.torch_batches import without_padding

        wanted = [value.name for value in self._model.graph.output]
        alive = [self._feeds(batch) for batch in self._batches]
        for values, batch in zip(self._compute(wanted, alive), self._batches, strict=True):
            yield [
                without_padding(torch.from_numpy(array), batch.get("attention_mask"))
                for array in (values[name] for name in wanted)
                if array.dtype.kind == "f" and array.ndim
            ]

    def _parts(self, groups: Sequence[Sequence[str]]) -> list[tuple[list[str], int]]:
        """Return groups in graph order, each with the end of its part; overlapping ones joined."""
        spans = sorted(
            (min(positions), max(positions) + 1, list(group))
            for group in groups
            for positions in (self._positions(group),)
        )
        parts: list[tuple[list[str], int]] = []
        for first, end, group in spans:
            if parts and first < parts[-1][1]:
                names, before = parts[-1]
                parts[-1] = ([*names, *group], max(before, end))
            else:
                parts.append((group, end))
        return parts

    def _positions(self, group: Sequence[str]) -> list[int]:
        return [
            self._position[use.node.output[0]] for name in group for use in self._chosen[name].uses
        ]

    def _crossing(self, end: int) -> list[str]:
        """Return the values that nodes from `end` on read from the nodes before."""
        nodes = self._model.graph.node
        before = {output for node in nodes[:end] for output in node.output}
        before |= {value.name for value in self._model.graph.input}
        read = {name for node in nodes[end:] for name in operands(node)}
        return sorted((read & before) - set(self._constants))

    def _record_part(
        self, names: Sequence[str], alive: Sequence[Values], twins: Sequence[Values]
    ) -> None:
        """Record the inputs of a group's layers, as the model stands, and their targets."""
        import torch

        uses = [
            (
                name,
                use,
                find_aim(use.node, self._chosen[name].layer, self._consumers, self._constants),
            )
            for name in names
            for use in self._chosen[name].uses
        ]
        wanted = {use.inputs for _, use, _ in uses}
        given: Iterator[Values] = iter([{}] * len(alive))
        if self._twin:
            aims = [aim for _, _, aim in uses if aim]
            wanted |= {aim.residual for aim in aims if aim.residual}
            shown = {aim.value for aim in aims} | {use.node.output[0] for _, use, _ in uses}
            given = self._twin._compute(sorted(shown), twins)
        found = self._compute(sorted(wanted), alive)
        for values, dense, batch in zip(found, given, self._batches, strict=True):
            for name, use, aim in uses:
                inputs = torch.from_numpy(values[use.inputs])
                target = None
                # A sum that broadcasts the layer's output is no target for it.
                if aim and dense and dense[aim.value].shape == dense[use.node.output[0]].shape:
                    target = _target(aim, dense, values)
                if target is not None and aim and aim.bias:
                    target -= torch.from_numpy(self._bias(use.node, aim.bias))
                for piece, own in _pieces(use.node, self._chosen[name], inputs, target, batch):
                    self._record(name, piece, own)

    def _bias(self, node: onnx.NodeProto, name: str) -> np.ndarray[Any, Any]:
        """Return a bias as it is broadcast with the node's output."""
        bias = read(self._constants[name])
        if node.op_type == "Conv" and len(node.input) > 2 and name == node.input[2]:
            axes = len(self._constants[node.input[1]].dims) - 2
            return bias.reshape(-1, *[1] * axes)
        return bias

    def _compute(self, wanted: Sequence[str], alive: Sequence[Values]) -> Iterator[Values]:
        """Yield, batch by batch, the values wanted, from those that are alive."""
        missing = [name for name in wanted if name not in alive[0]]
        session = self._session(missing, alive[0]) if missing else None
        for number, values in enumerate(alive, start=1):
            found = {name: values[name] for name in wanted if name in values}
            if session is not None:
                needed = {given.name: values[given.name] for given in session.get_inputs()}
                try:
                    outputs = session.run(missing, needed)
                except Exception as error:
                    raise DataError(
                        f"calibration batch {number} does not run through the model "
                        f"({describe(error)}); check its shapes and values"
                    ) from error
                found.update(zip(missing, outputs, strict=True))
            for name, value in found.items():
                if not isinstance(value, np.ndarray):
                    raise ModelError(
                        f"value {name!r} of the ONNX graph is no tensor; models that pass "
                        "sequences from block to block cannot be calibrated"
                    )
            yield found

    def _session(self, wanted: Sequence[str], alive: Values) -> Any:
        """Return an ONNX Runtime session of the part of the graph between two sets of values."""
        ort = _onnxruntime()
        import torch

        graph = self._model.graph
        needed, inputs, kept = list(wanted), set(), set()
        while needed:
            name = needed.pop()
            if name in alive:
                inputs.add(name)
            elif name in self._position and self._position[name] not in kept:
                kept.add(self._position[name])
                needed += operands(graph.node[self._position[name]])
        nodes = [graph.node[at] for at in sorted(kept)]
        read = {name for node in nodes for name in operands(node)}
        part = helper.make_graph(
            nodes,
            "part",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(alive[name].dtype), None
                )
                for name in sorted(inputs)
            ],
            [onnx.ValueInfoProto(name=name) for name in wanted],
            [tensor for tensor in graph.initializer if tensor.name in read],
            sparse_initializer=[
                tensor for tensor in graph.sparse_initializer if tensor.values.name in read
            ],
        )
        model = onnx.ModelProto()
        model.CopyFrom(self._shell)
        model.graph.CopyFrom(part)
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would spin on while torch makes statistics and solves on the same cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            return ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot run the model ({describe(error)}); check that it is a valid "
                "ONNX model of at most 2 GB"
            ) from error

    def _feeds(self, batch: Batch) -> Values:
        """Return a batch in the types that the model's inputs have."""
        types = {
            value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            for value in self._model.graph.input
        }
        return {name: np.asarray(array).astype(types[name]) for name, array in batch.items()}


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            "calibrating an ONNX model needs onnxruntime; install it with: "
            "pip install 'gossamer[ort]'"
        ) from error
    return onnxruntime


def _target(aim: Aim, dense: Values, sparse: Values) -> Tensor | None:
    """Return what a layer should give, with its bias; None if the sum is broadcast."""
    import torch

    value = dense[aim.value].astype(np.float32)
    if aim.residual is not None:
        residual = sparse[aim.residual]
        if residual.shape != value.shape:
            return None
        value = value - residual
    return torch.from_numpy(value)


def _pieces(
    node: onnx.NodeProto,
    found: OnnxLayer,
    inputs: Tensor,
    target: Tensor | None,
    batch: Batch,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield a layer's inputs as matrices, each with its part of the target."""
    from gossamer.models.torch_batches import without_padding

    layer = found.layer
    if layer.kind == "linear":
        mask = batch.get("attention_mask")
        yield (
            without_padding(inputs, mask),
            None if target is None else without_padding(target, mask),
        )
        return
    if target is not None:
        grouped = target.reshape(len(target), layer.groups, layer.rows // layer.groups, -1)
        target = grouped.permute(1, 0, 3, 2).reshape(layer.groups, -1, grouped.shape[2])
    start = 0
    for piece in _unfolded(node, found, inputs):
        end = start + piece.shape[1]
        yield piece, None if target is None else target[:, start:end]
        start = end


def _unfolded(node: onnx.NodeProto, found: OnnxLayer, inputs: Tensor) -> Iterator[Tensor]:
    """Yield the inputs of a Conv node as matrices."""
    kernel = list(found.tensor.dims)[2:]
    axes = len(kernel)
    stride = attribute(node, "strides", [1] * axes)
    dilation = attribute(node, "dilations", [1] * axes)
    return unfold(
        inputs,
        kernel,
        stride=stride,
        padding=_padding(node, kernel, stride, dilation, tuple(inputs.shape[2:])),
        dilation=dilation,
        groups=found.layer.groups,
    )


def _padding(
    node: onnx.NodeProto,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    sizes: Sequence[int],
) -> list[tuple[int, int]]:
    """Return the zeros before and after each spatial axis of a Conv node's input."""
    automatic = attribute(node, "auto_pad", "NOTSET")
    axes = len(kernel)
    if automatic == "VALID":
        return [(0, 0)] * axes
    if automatic == "NOTSET":
        pads = attribute(node, "pads", [0] * (2 * axes))
        return list(zip(pads[:axes], pads[axes:], strict=True))
    padding = []
    for size, taps, step, spread in zip(sizes, kernel, stride, dilation, strict=True):
        outputs = -(-size // step)
        total = max(0, (outputs - 1) * step + spread * (taps - 1) + 1 - size)
        less, more = total // 2, total - total // 2
        padding.append((less, more) if automatic == "SAME_UPPER" else (more, less))
    return padding
