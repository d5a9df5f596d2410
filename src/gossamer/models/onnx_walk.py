"""Calibrating an ONNX model part by part, so that later layers see earlier sparse outputs.

The graph is cut behind each group of layers. A part is run once with the group's layers dense to
record their inputs and, when the caller has pruned them, once more for the values that cross the
cut; these feed the next part. So the whole walk costs about two runs of the model.

With a dense twin beside it, each layer's inputs come with the outputs that it should give; a group
is then cut into parts, the layers with the same inputs together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from gossamer.errors import DataError, ModelError
from gossamer.models.adapter import Batch, Record
from gossamer.models.onnx_constants import Apart, constants, read
from gossamer.models.onnx_feeds import as_taken, declare
from gossamer.models.onnx_layers import OnnxLayer, operands
from gossamer.models.onnx_pieces import pieces, rows_first
from gossamer.models.onnx_targets import Aim, find_aim, find_consumers
from gossamer.models.padding import Padding, without_padding
from gossamer.onnx_runtime import session_class
from gossamer.user_code import describe

if TYPE_CHECKING:
    from torch import Tensor

    from gossamer.models.padding import Shapes

Values = dict[str, Any]
"""Arrays, and lists of them for sequences, by the value's name."""


class OnnxWalk:
    """One walk through a model; see `ModelAdapter.walk`.

    Args:
        model: without the elements that are kept apart.
        apart: these elements; the caller may replace them on the way.
        batches: calibration batches.
        chosen: the layers to record, by name.
        record: receives their inputs.
        dense: a walk through the same model before any change: says what the layers should give.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        apart: Apart,
        batches: Sequence[Batch],
        chosen: Mapping[str, OnnxLayer],
        record: Record,
        *,
        dense: OnnxWalk | None = None,
    ) -> None:
        self._twin = dense
        self._model = model
        self._apart = apart
        self._batches = batches
        self._chosen = chosen
        self._record = record
        self._position = {
            output: at for at, node in enumerate(model.graph.node) for output in node.output
        }
        self._constants = constants(model.graph, apart)
        self._consumers = find_consumers(model.graph)
        self._padding = Padding()
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
        alive = [as_taken(self._model.graph, batch) for batch in self._batches]
        twins = list(alive)
        self._learn(self._padding, self._input_shapes)
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
            parts.setdefault(self._chosen[name].uses[0].inputs or name, []).append(name)
        return list(parts.values())

    def _cross(self, crossing: Sequence[str], alive: Sequence[Values]) -> list[Values]:
        return [
            {name: values[name] for name in crossing} for values in self._compute(crossing, alive)
        ]

    def outputs(self, padding: Padding) -> Iterator[list[Tensor]]:
        """Yield the model's floating-point outputs, batch by batch, padding left out.

        Args:
            padding: what is known of it in the outputs; more may be learned.
        """
        import torch

        wanted = [value.name for value in self._model.graph.output]
        alive = [as_taken(self._model.graph, batch) for batch in self._batches]

        def shapes(values: Values) -> dict[str, list[tuple[int, ...]]]:
            found = next(self._compute(wanted, [values]))
            return {name: [np.shape(value)] for name, value in found.items()}

        self._learn(padding, shapes)
        for values, batch in zip(self._compute(wanted, alive), self._batches, strict=True):
            yield [
                without_padding(torch.from_numpy(array), padding.mask(batch, name, array.shape))
                for name, array in ((name, values[name]) for name in wanted)
                if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim
            ]

    def _learn(self, padding: Padding, shapes: Callable[[Values], Shapes]) -> None:
        """Learn of padding by trial.

        Args:
            padding: what learns.
            shapes: from values of the model's inputs to those of its tensors.
        """
        import torch

        # Text and sequences cannot be tried in other sizes.
        plain = [
            batch
            for batch in self._batches
            if all(array.dtype.kind in "biuf" for array in batch.values())
        ]
        padding.learn(
            plain,
            lambda batch: {
                name: torch.from_numpy(array)
                for name, array in as_taken(self._model.graph, batch).items()
            },
            lambda tensors: shapes({name: tensor.numpy() for name, tensor in tensors.items()}),
        )

    def _input_shapes(self, values: Values) -> dict[str, list[tuple[int, ...]]]:
        """Run the model, and return the shapes of the layers' inputs in each use."""
        uses = {name: found.uses for name, found in self._chosen.items()}
        wanted = {use.inputs for own in uses.values() for use in own if use.inputs}
        found = next(self._compute(sorted(wanted), [values]))
        return {
            name: [rows_first(use, found[use.inputs]).shape for use in own if use.inputs]
            for name, own in uses.items()
        }

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
        return [use.at for name in group for use in self._chosen[name].uses]

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

        uses = []
        for name in names:
            found = self._chosen[name]
            seen = [use for use in found.uses if use.inputs is not None]
            if not seen:
                # Every solver then goes by the size of the weights.
                self._record(name, found.layer.unit_inputs(), None)
            for use in seen:
                aim = find_aim(use, found.layer, self._consumers, self._constants)
                uses.append((name, use, aim))
        if not uses:
            return
        wanted = {use.inputs for _, use, _ in uses if use.inputs}
        given: Iterator[Values] = iter([{}] * len(alive))
        if self._twin:
            aims = [aim for _, _, aim in uses if aim]
            wanted |= {aim.residual for aim in aims if aim.residual}
            shown = {aim.value for aim in aims} | {use.node.output[0] for _, use, _ in uses}
            given = self._twin._compute(sorted(shown), twins)
        own = self._compute(sorted(wanted), alive)
        for values, dense, batch in zip(own, given, self._batches, strict=True):
            for name, use, aim in uses:
                found = self._chosen[name]
                inputs = torch.from_numpy(rows_first(use, values[use.inputs or ""]))
                number = found.uses.index(use)
                mask = None
                if found.layer.kind != "recurrent":
                    # In recurrent layers the time comes first.
                    mask = self._padding.mask(batch, name, inputs.shape, number)
                target = None
                # A sum that broadcasts the layer's output is no target for it.
                if aim and dense and dense[aim.value].shape == dense[use.node.output[0]].shape:
                    target = _target(aim, dense, values)
                if target is not None and aim and aim.bias:
                    target -= torch.from_numpy(self._bias(use.node, aim.bias))
                for piece, part in pieces(use, found, inputs, target, mask):
                    self._record(name, piece, part)

    def _bias(self, node: onnx.NodeProto, name: str) -> np.ndarray[Any, Any]:
        """Return a bias as it is broadcast with the node's output."""
        bias = read(self._constants[name], self._apart)
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
            elif name in self._apart:
                continue
            elif name in self._position and self._position[name] not in kept:
                kept.add(self._position[name])
                needed += operands(graph.node[self._position[name]])
        nodes = [graph.node[at] for at in sorted(kept)]
        read = {name for node in nodes for name in operands(node)}
        model = onnx.ModelProto()
        model.CopyFrom(self._shell)
        model.graph.name = "part"
        model.graph.node.extend(nodes)
        for name in sorted(inputs):
            model.graph.input.append(declare(name, alive[name]))
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        held = [tensor for tensor in graph.initializer if tensor.name not in self._apart]
        model.graph.initializer.extend(tensor for tensor in held if tensor.name in read)
        apart = {name: array for name, array in self._apart.items() if name in read}
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would spin on while torch makes statistics and solves on the same cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # What fails is raised, or was a trial.
        options.log_severity_level = 4
        try:
            _add(model, apart, options)
            return session_class()(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot run the model ({describe(error)}); check that it is a valid "
                "ONNX model"
            ) from error


def _add(model: onnx.ModelProto, apart: Apart, options: Any) -> None:
    """Give a model the tensors that are kept apart, without writing their elements into it."""
    ort = _onnxruntime()
    names, values = [], []
    for name, array in apart.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor = model.graph.initializer.add(name=name, data_type=kind, dims=array.shape)
        if array.dtype.isbuiltin != 1:
            # Types that numpy has from elsewhere, which ONNX Runtime does not take from it.
            tensor.raw_data = array.tobytes()
            continue
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="memory")
        names.append(name)
        values.append(ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))
    options.add_external_initializers(names, values)


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
