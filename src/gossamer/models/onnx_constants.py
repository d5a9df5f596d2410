"""The constant tensors of an ONNX graph, as nodes read them: moved, cast, scaled, dequantized.

Between a stored weight and the node that multiplies by it exporters and converters put nodes that
only show it in another form. As long as these can be undone, the weight can be changed where it is
stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from gossamer.errors import ModelError
from gossamer.graphs.tensors import tensor_array

BROKEN = (ArithmeticError, LookupError, TypeError, ValueError, ModelError)
"""What is met in a node that lacks an input, or has a broken one or an attribute of another kind:
it is left out, and whoever runs it says what is wrong with it."""

Array = np.ndarray[Any, Any]
Dims = tuple[int, ...]

FLOATS: frozenset[int] = frozenset(
    (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
)
# Quantized weights. Wider integers are indices and sizes.
_SHORT: frozenset[int] = frozenset(
    getattr(TensorProto, name)
    for name in (
        *("INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2"),
        *("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"),
    )
    if hasattr(TensorProto, name)
)


class Step(Protocol):
    """One way to show a tensor in another form."""

    def apply(self, array: Array) -> Array:
        """Return the array in the new form."""
        ...

    def undo(self, array: Array) -> Array:
        """Return what `apply` makes the array of."""
        ...


@dataclass(frozen=True)
class Turned:
    """The axes in another order."""

    order: Dims

    def apply(self, array: Array) -> Array:
        """See `Step.apply`."""
        return array.transpose(self.order)

    def undo(self, array: Array) -> Array:
        """See `Step.undo`."""
        return array.transpose(np.argsort(self.order))


@dataclass(frozen=True)
class Reshaped:
    """The same elements in the same order, in another shape."""

    before: Dims
    after: Dims

    def apply(self, array: Array) -> Array:
        """See `Step.apply`."""
        return array.reshape(self.after)

    def undo(self, array: Array) -> Array:
        """See `Step.undo`."""
        return array.reshape(self.before)


@dataclass(frozen=True)
class Scaled:
    """`(stored - zero) * scale`, so that what is `zero` in store is 0.

    Attributes:
        source: the value that a node makes in this way; two of one source are equal.
    """

    source: str
    scale: Array = field(compare=False)
    zero: Array | None = field(default=None, compare=False)

    def apply(self, array: Array) -> Array:
        """See `Step.apply`."""
        return (array if self.zero is None else array - self.zero) * self.scale

    def undo(self, array: Array) -> Array:
        """See `Step.undo`."""
        stored = array / self.scale
        return stored if self.zero is None else stored + self.zero


@dataclass(frozen=True)
class Stored:
    """A tensor that the model holds, in the form in which some node reads it.

    Attributes:
        tensor: an initializer, or the value of a Constant node.
        key: the name under which its elements may be kept apart from the graph: that of the value
            which the initializer or Constant node of the main graph gives; None in inner graphs.
        dims: the shape as the node reads it.
        kind: the element type as the node reads it.
        steps: from what is stored to what is read.
    """

    tensor: TensorProto
    key: str | None
    dims: Dims
    kind: int
    steps: tuple[Step, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.dims)

    def turned(self, *order: int) -> Stored:
        """Return it with its axes in another order."""
        dims = tuple(self.dims[axis] for axis in order)
        return self._then(Turned(order), dims)

    def reshaped(self, *dims: int) -> Stored:
        """Return it in another shape of as many elements."""
        return self if dims == self.dims else self._then(Reshaped(self.dims, dims), dims)

    def scaled(self, step: Scaled, kind: int) -> Stored:
        """Return it scaled, and of the type of the scale."""
        return self._then(step, self.dims, kind)

    def cast(self, kind: int) -> Stored:
        """Return it in another element type."""
        return Stored(self.tensor, self.key, self.dims, kind, self.steps)

    def _then(self, step: Step, dims: Dims, kind: int | None = None) -> Stored:
        steps = (*self.steps, step)
        return Stored(self.tensor, self.key, dims, self.kind if kind is None else kind, steps)


Constants = Mapping[str, Stored]
Apart = Mapping[str, Array]
"""Elements of tensors that are kept apart from the graph, by `Stored.key`."""


def elements(stored: Stored, apart: Apart) -> Array:
    """Return a tensor's elements as they are stored."""
    if stored.key is not None and stored.key in apart:
        return apart[stored.key]
    return tensor_array(stored.tensor)


def read(stored: Stored, apart: Apart) -> Array:
    """Return a tensor as a node reads it, in float32."""
    array = elements(stored, apart).astype(np.float32)
    for step in stored.steps:
        array = step.apply(array)
    return array


def count_zeros(stored: Stored, apart: Apart) -> int:
    """Return how many elements of a tensor are zero as a node reads it."""
    scaled = any(isinstance(step, Scaled) for step in stored.steps)
    array = read(stored, apart) if scaled else elements(stored, apart)
    return stored.size - int(np.count_nonzero(array))


def write(stored: Stored, values: Array, apart: MutableMapping[str, Array]) -> None:
    """Replace a tensor's elements by those of which its form is `values`.

    They are rounded to what is stored: whole numbers where the weight is quantized. A zero stays
    one. Elements that are kept apart are replaced, not changed: others may hold them too.
    """
    array = values.reshape(stored.dims)
    for step in reversed(stored.steps):
        array = step.undo(array)
    array = _rounded(array, stored.tensor.data_type)
    if stored.key is not None and stored.key in apart:
        apart[stored.key] = array
        return
    raw = numpy_helper.from_array(array).raw_data
    for name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        stored.tensor.ClearField(name)
    stored.tensor.raw_data = raw


def _rounded(array: Array, kind: int) -> Array:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    lowest, highest = _RANGES.get(kind, (None, None))
    if lowest is None and dtype.kind in "iu":
        lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    if lowest is not None:
        array = np.rint(array).clip(lowest, highest)
    return np.ascontiguousarray(array).astype(dtype)


# Of types that numpy knows only by their names.
_RANGES: dict[int, tuple[int, int]] = {
    getattr(TensorProto, name): limits
    for name, limits in {
        "INT4": (-8, 7),
        "UINT4": (0, 15),
        "INT2": (-2, 1),
        "UINT2": (0, 3),
    }.items()
    if hasattr(TensorProto, name)
}


def is_weight(tensor: TensorProto) -> bool:
    """Return whether a tensor holds weights: several numbers, or a matrix of quantized ones."""
    if tensor.data_type in _SHORT:
        return len([size for size in tensor.dims if size > 1]) > 1
    return tensor.data_type in FLOATS and len([size for size in tensor.dims if size != 1]) > 0


def constants(
    graph: onnx.GraphProto, apart: Apart, around: Constants | None = None
) -> dict[str, Stored]:
    """Return the tensors of a graph by the names under which its nodes read them.

    Args:
        graph: the main graph, or one within a node.
        apart: elements that the main graph does not hold itself.
        around: of an inner graph, what it sees of those around it.
    """
    found = dict(around or {})
    for tensor in graph.initializer:
        key = tensor.name if around is None else None
        found[tensor.name] = Stored(tensor, key, tuple(tensor.dims), tensor.data_type)
    for node in graph.node:
        form = _FORMS.get((node.op_type, "" if node.domain == "ai.onnx" else node.domain))
        if node.op_type == "Constant":
            for given in node.attribute:
                if given.name == "value":
                    key = node.output[0] if around is None else None
                    dims, kind = tuple(given.t.dims), given.t.data_type
                    found[node.output[0]] = Stored(given.t, key, dims, kind)
        elif form is not None and node.input and node.output:
            try:
                shown = form(node, found, apart)
            except BROKEN:
                continue
            if shown is not None:
                found[node.output[0]] = shown
    return found


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, or the default where it has none."""
    for given in node.attribute:
        if given.name == name:
            value = onnx.helper.get_attribute_value(given)
            return value.decode() if isinstance(value, bytes) else value
    return default


# Nodes that show a tensor in another form: what they make of it, None where that is not known


def _same(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    return known.get(node.input[0])


def _cast(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored, kind = known.get(node.input[0]), attribute(node, "to", 0)
    # To whole numbers it cuts off what follows the point; before opset 6 the type is a word.
    return stored.cast(kind) if stored and kind in FLOATS else None


def _turned(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored = known.get(node.input[0])
    if stored is None:
        return None
    order = attribute(node, "perm", tuple(reversed(range(len(stored.dims)))))
    return stored.turned(*order) if sorted(order) == list(range(len(stored.dims))) else None


def _reshaped(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored, sizes = known.get(node.input[0]), _numbers(node, 1, "shape", known, apart)
    if stored is None or sizes is None:
        return None
    copied = not attribute(node, "allowzero", 0)
    dims = [
        stored.dims[axis] if size == 0 and copied and axis < len(stored.dims) else size
        for axis, size in enumerate(sizes)
    ]
    if dims.count(-1) == 1:
        others = -prod(dims)
        dims[dims.index(-1)] = stored.size // others if others else 0
    fits = min(dims, default=0) >= 0 and prod(dims) == stored.size
    return stored.reshaped(*dims) if fits else None


def _flattened(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored = known.get(node.input[0])
    if stored is None:
        return None
    axis = attribute(node, "axis", 1)
    return stored.reshaped(prod(stored.dims[:axis]), prod(stored.dims[axis:]))


def _squeezed(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored = known.get(node.input[0])
    if stored is None:
        return None
    axes = _numbers(node, 1, "axes", known, apart)
    if axes is None:
        if len(node.input) > 1 and node.input[1]:
            return None
        axes = [axis for axis, size in enumerate(stored.dims) if size == 1]
    gone = {axis % max(1, len(stored.dims)) for axis in axes}
    dims = [size for axis, size in enumerate(stored.dims) if axis not in gone]
    return stored.reshaped(*dims) if prod(dims) == stored.size else None


def _unsqueezed(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored, axes = known.get(node.input[0]), _numbers(node, 1, "axes", known, apart)
    if stored is None or axes is None:
        return None
    rank = len(stored.dims) + len(axes)
    new = {axis % rank for axis in axes}
    old = iter(stored.dims)
    if len(new) != len(axes):
        return None
    return stored.reshaped(*(1 if axis in new else next(old) for axis in range(rank)))


def _dequantized(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored, scale = known.get(node.input[0]), known.get(node.input[1])
    zero = known.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if stored is None or scale is None or (zero is None and len(node.input) > 2 and node.input[2]):
        return None
    axis, block = attribute(node, "axis", 1), attribute(node, "block_size", 0)

    def spread(given: Stored) -> Array:
        array = read(given, apart)
        if block:
            return array.repeat(block, axis)[tuple(slice(size) for size in stored.dims)]
        if array.size == 1:
            return array.reshape(())
        shape = [1] * len(stored.dims)
        shape[axis] = array.size
        return array.reshape(shape)

    return _checked(
        stored, node, scale.kind, lambda: (spread(scale), spread(zero) if zero else None)
    )


def _multiplied(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    one, other = (known.get(name) for name in node.input[:2])
    if one is None or other is None or one.kind not in FLOATS:
        return None
    stored, scale = (one, other) if one.size >= other.size else (other, one)
    return _checked(stored, node, stored.kind, lambda: (read(scale, apart), None))


def _divided(node: onnx.NodeProto, known: Constants, apart: Apart) -> Stored | None:
    stored, scale = (known.get(name) for name in node.input[:2])
    if stored is None or scale is None or stored.kind not in FLOATS:
        return None
    return _checked(stored, node, stored.kind, lambda: (1 / read(scale, apart), None))


def _checked(
    stored: Stored,
    node: onnx.NodeProto,
    kind: int,
    numbers: Callable[[], tuple[Array, Array | None]],
) -> Stored | None:
    """Return a tensor scaled by small constants, unless that cannot be undone."""
    try:
        with np.errstate(divide="ignore"):
            scale, zero = numbers()
        fits = np.broadcast_shapes(scale.shape, stored.dims) == stored.dims
    except (ValueError, IndexError, TypeError):
        return None
    if not fits or not np.isfinite(scale).all() or not scale.all():
        return None
    return stored.scaled(Scaled(node.output[0], scale, zero), kind)


def _numbers(
    node: onnx.NodeProto, position: int, name: str, known: Constants, apart: Apart
) -> list[int] | None:
    """Return whole numbers that are an attribute in old operator sets and an input in new ones."""
    given = attribute(node, name, None)
    if given is not None:
        return list(given)
    if len(node.input) <= position or not node.input[position]:
        return None
    stored = known.get(node.input[position])
    if stored is None or stored.steps:
        return None
    return [int(number) for number in elements(stored, apart).reshape(-1)]


_Form = Callable[[onnx.NodeProto, Constants, Apart], Stored | None]
_FORMS: dict[tuple[str, str], _Form] = {
    ("Identity", ""): _same,
    ("Cast", ""): _cast,
    ("Transpose", ""): _turned,
    ("Reshape", ""): _reshaped,
    ("Flatten", ""): _flattened,
    ("Squeeze", ""): _squeezed,
    ("Unsqueeze", ""): _unsqueezed,
    ("DequantizeLinear", ""): _dequantized,
    ("DequantizeLinear", "com.microsoft"): _dequantized,
    ("Mul", ""): _multiplied,
    ("Div", ""): _divided,
}
