"""A model that grows node by node, each run in ONNX Runtime as it is added.

So shapes, types and elements of every value are known for certain, and what ONNX Runtime would
refuse never gets in. Every value is known in several *worlds*: one for each assignment of sizes to
the model's open axes, and once more as many in which each inexact result is off by a little. What
differs much there is ill-conditioned or near a jump (a rounding, a comparison), and is refused: two
right implementations could differ in it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from differential import oracle
from differential.numbers import Style, random_array

Array: TypeAlias = NDArray[Any]
Axis: TypeAlias = "int | str"
"""A size, or the name of one that is open."""

LARGEST = 6000
"""Elements of a value."""
FLOATS = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16))
INTEGERS = (np.dtype(np.int64), np.dtype(np.int32))
# How often a type is chosen where an operator takes it; others now and then.
_WEIGHTS = {"float32": 70.0, "float64": 9.0, "int64": 9.0, "int32": 6.0, "bool": 5.0}
_RARE = 0.6


class Refused(Exception):
    """A node that cannot be added: ONNX Runtime refuses it, or its result is of no use here."""


@dataclass(eq=False)
class Value:
    """A tensor of the model, in every world."""

    name: str
    arrays: list[Array]
    constant: bool
    users: int = 0
    made: bool = False
    """By a node, so that it may be an output of the model."""
    declared: tuple[Axis, ...] = ()
    """Of an input of the model: its axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.arrays[0].dtype

    @property
    def rank(self) -> int:
        return self.arrays[0].ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """In the first world."""
        return self.arrays[0].shape

    def sizes(self, axis: int) -> tuple[int, ...]:
        return tuple(array.shape[axis] for array in self.arrays)

    def size(self, axis: int) -> int | None:
        """The size of an axis, None where it is open."""
        sizes = {*self.sizes(axis)}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def fixed(self) -> bool:
        return all(array.shape == self.shape for array in self.arrays)

    @property
    def ordered(self) -> bool:
        """Whether there is no NaN, of which none can say whether it is the largest."""
        return self.dtype.kind != "f" or not any(np.isnan(array).any() for array in self.arrays)

    @property
    def finite(self) -> bool:
        return self.dtype.kind != "f" or all(np.isfinite(array).all() for array in self.arrays)


@dataclass
class Graph:
    """A model under construction.

    Args:
        seed: determines the model.
        opset: ONNX's operator set.
    """

    seed: Any
    opset: int
    rng: np.random.Generator = field(init=False)
    values: list[Value] = field(default_factory=list)
    nodes: list[NodeProto] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    initializers: dict[str, Array] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)
    symbols: dict[str, tuple[int, ...]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    named: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.special = self.chance(0.07)
        """Whether infinities and NaN may occur."""
        self.real = 1
        """How many worlds there are, without those in which results are off."""
        if self.chance(0.6):
            self.real = 3 if self.chance(0.3) else 2
            for name in ("N", "T")[: 1 + int(self.chance(0.5))]:
                sizes = [int(self.rng.integers(2, 8))]
                sizes += [
                    1 if self.chance(0.4) else int(self.rng.integers(1, 12))
                    for _ in range(self.real - 1)
                ]
                self.symbols[name] = (*sizes, *sizes)
        self.worlds = 2 * self.real
        # Near every model is of one kind of numbers, so that its nodes can take each other's.
        self.style = Style.any(self.rng, self.special)

    # Chance

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choice(self, items: Sequence[Any]) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def number(self, low: int, high: int) -> int:
        """From `low` to `high`, both included.

        Raises:
            Refused: where there is none.
        """
        if high < low:
            raise Refused("no number")
        return int(self.rng.integers(low, high + 1))

    # What there is to take

    def name(self) -> str:
        self.named += 1
        return f"v{self.named}"

    def input(
        self,
        dtype: Any,
        shape: Sequence[Axis],
        arrays: Sequence[Array] = (),
        style: Style | None = None,
    ) -> Value:
        """A new input of the model.

        Args:
            arrays: its elements in each world; random by default.
        """
        made = list(arrays)
        del made[self.real :]
        for world in range(len(made), self.real):
            sizes = [self.symbols[s][world] if isinstance(s, str) else s for s in shape]
            made.append(random_array(self.rng, np.dtype(dtype), sizes, style or self.style))
        made += made
        value = Value(self.name(), made, False, declared=tuple(shape))
        self.values.append(value)
        self.inputs.append(value)
        return value

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant, as an initializer or a node."""
        array = np.asarray(array, dtype)
        value = Value(self.name(), [array] * self.worlds, True)
        self.values.append(value)
        if self.chance(0.25):
            tensor = numpy_helper.from_array(array, "")
            node = helper.make_node("Constant", [], [value.name], f"n{value.name}", value=tensor)
            self.nodes.append(node)
        else:
            self.initializers[value.name] = array
        return value

    def random(self, dtype: Any, shape: Sequence[int], style: Style | None = None) -> Value:
        """A constant of random elements."""
        return self.constant(random_array(self.rng, np.dtype(dtype), shape, style or self.style))

    def size(self) -> int:
        """A size of an axis, most of them small."""
        return self.number(1, 7) if self.chance(0.9) else self.choice((8, 15, 16, 17, 33, 64, 65))

    def axes(self, rank: int, opened: float = 0.4) -> list[Axis]:
        """Random axes of a new input; the first more often open than others."""
        axes: list[Axis] = [self.size() for _ in range(rank)]
        names = list(self.symbols)
        for axis in range(rank):
            if names and self.chance(opened * (1.6 if axis == 0 else 0.7)):
                axes[axis] = self.choice(names)
        while np.prod([8 if isinstance(a, str) else a for a in axes]) > LARGEST / 2:
            axes[int(np.argmax([8 if isinstance(a, str) else a for a in axes]))] = 2
        return axes

    def fresh(self, dtype: Any, rank: int | None = None, style: Style | None = None) -> Value:
        """A new input or, now and then, a constant."""
        rank = self.number(1, 4) if rank is None else rank
        axes = self.axes(rank)
        if self.chance(0.12):
            sizes = [self.size() if isinstance(a, str) else a for a in axes]
            return self.random(dtype, sizes, style)
        return self.input(dtype, axes, style=style)

    def pick(
        self,
        dtypes: Sequence[Any] = (np.dtype(np.float32),),
        rank: int | Sequence[int] | None = None,
        where: Callable[[Value], bool] | None = None,
        constant: bool | None = None,
        existing: float = 0.85,
    ) -> Value:
        """A value of such a type and rank: one that is there, late ones rather than early ones.

        Raises:
            Refused: where none is there that `where` lets pass, nor a new one does.
        """
        ranks = (rank,) if isinstance(rank, int) else rank
        kinds = [np.dtype(dtype) for dtype in dtypes]
        found = [
            value
            for value in self.values
            if value.dtype in kinds and (ranks is None or value.rank in ranks)
            if value.arrays[0].size and (constant is None or value.constant == constant)
            if not value.constant or constant or self.chance(0.25)
            if where is None or where(value)
        ]
        if found and self.chance(existing):
            place = int(len(found) * self.rng.random() ** 0.5)
            return found[min(place, len(found) - 1)]
        for _ in range(4):
            wanted = self.choice(ranks) if ranks is not None else None
            made = self.fresh(self.kind(kinds), wanted)
            if (constant is None or made.constant == constant) and (where is None or where(made)):
                return made
            self._forget(made)
        if found:
            return self.choice(found)
        raise Refused("nothing to take")

    def _forget(self, value: Value) -> None:
        """Take back the newest value, which nothing uses."""
        self.values.remove(value)
        if value in self.inputs:
            self.inputs.remove(value)
        self.initializers.pop(value.name, None)
        self.nodes = [node for node in self.nodes if value.name not in node.output]

    def kind(self, dtypes: Sequence[Any]) -> np.dtype[Any]:
        """One of several types, those that matter more often."""
        weights = np.array([_WEIGHTS.get(str(np.dtype(d)), _RARE) for d in dtypes])
        place = int(self.rng.choice(len(dtypes), p=weights / weights.sum()))
        return np.dtype(dtypes[place])

    def types(self, op: str, position: int = 0, domain: str = "") -> list[np.dtype[Any]]:
        """The types that ONNX lets an operator take as one of its inputs."""
        return list(_types(op, self.opset, position, domain))

    def beside(self, x: Value, dtype: Any = None, spread: bool = True) -> Value:
        """A value whose shape broadcasts with another's.

        Args:
            spread: whether the result may be larger than `x`.
        """
        dtype = np.dtype(dtype or x.dtype)
        fits = [
            value
            for value in self.values
            if value.dtype == dtype and value.arrays[0].size
            if self._broadcasts(x, value, spread)
        ]
        if fits and self.chance(0.5):
            return fits[int(len(fits) * self.rng.random() ** 0.5)]
        shape: list[Axis] = []
        for axis in range(x.rank):
            size = x.size(axis)
            name = next((n for n, s in self.symbols.items() if s == x.sizes(axis)), None)
            if self.chance(0.25) or (size is None and name is None):
                shape.append(1)
            elif size == 1 and spread and self.chance(0.3):
                shape.append(self.number(1, 4))
            else:
                shape.append(size if size is not None else str(name))
        while shape and self.chance(0.3):
            shape.pop(0)
        if spread and self.chance(0.08):
            shape.insert(0, self.number(1, 3)) if len(shape) == x.rank and x.rank < 5 else None
        if self.chance(0.55) or any(isinstance(s, str) for s in shape):
            constant = all(isinstance(s, int) for s in shape) and self.chance(0.5)
            if not constant:
                return self.input(dtype, shape)
        return self.random(dtype, [int(s) for s in shape])

    def _broadcasts(self, x: Value, y: Value, spread: bool) -> bool:
        try:
            for a, b in zip(x.arrays, y.arrays, strict=True):
                shape = np.broadcast_shapes(a.shape, b.shape)
                if np.prod(shape) > LARGEST or (not spread and shape != a.shape):
                    return False
        except ValueError:
            return False
        return True

    def indices(self, limit: int, shape: Sequence[Axis], dtype: Any = np.int64) -> Value:
        """Whole numbers from `-limit` to `limit - 1`: an input or a constant."""
        low = -limit if self.chance(0.4) else 0

        def draw(sizes: Sequence[int]) -> Array:
            return np.asarray(self.rng.integers(low, limit, sizes), dtype)

        if self.chance(0.5) or any(isinstance(s, str) for s in shape):
            worlds = [
                draw([self.symbols[s][w] if isinstance(s, str) else s for s in shape])
                for w in range(self.real)
            ]
            return self.input(dtype, shape, worlds)
        return self.constant(draw([int(s) for s in shape]))

    # Growth

    def node(
        self,
        op: str,
        inputs: Sequence[Value | None],
        outputs: int | Sequence[bool] = 1,
        *,
        domain: str = "",
        exact: bool = False,
        captured: Sequence[Value] = (),
        **attributes: Any,
    ) -> list[Value]:
        """Add a node.

        Args:
            outputs: how many, or for each whether it has a name.
            exact: whether every right implementation gives the very same elements.
            captured: values that inner graphs take from around the node.
            attributes: those that are None are left out.

        Raises:
            Refused: if ONNX Runtime refuses it or its result is of no use here.
        """
        wanted = [True] * outputs if isinstance(outputs, int) else list(outputs)
        names = [self.name() if named else "" for named in wanted]
        proto = make_node(op, inputs, names, domain, attributes)
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        taken = [*(value for value in inputs if value is not None), *captured]
        opsets = self.opsets(domain)
        constant = all(value.constant for value in taken) and "Random" not in op
        feeds = [
            {value.name: self._fed(value, world, exact) for value in taken if not value.constant}
            for world in range(self.worlds)
        ]
        try:
            worlds = oracle.run_node(proto, taken, opsets, feeds)
        except oracle.Unfit as reason:
            self.refusals.append(f"{op}: {reason}")
            raise Refused(str(reason)) from None
        results = [list(arrays) for arrays in zip(*worlds, strict=True)]
        for arrays in results:
            self._accept(arrays, exact)
        made = []
        for name, arrays in zip([n for n in names if n], results, strict=True):
            made.append(Value(name, arrays, constant, made=True))
        self.values += made
        self.nodes.append(proto)
        if domain:
            self.domains.add(domain)
        for value in taken:
            value.users += 1
        return made

    def _fed(self, value: Value, world: int, exact: bool) -> Array:
        """A node's operand: off by its last bit, for what rounding within the node may do."""
        array = value.arrays[world]
        if world < self.real or exact or array.dtype.kind != "f":
            return array
        return self._near(array, 1e-3 if array.dtype == np.float16 else 2e-7)

    def add(self, op: str, *inputs: Value | None, **attributes: Any) -> Value:
        """Add a node of one output."""
        return self.node(op, inputs, **attributes)[0]

    def opsets(self, domain: str = "") -> dict[str, int]:
        return {"": self.opset, **{name: 1 for name in {*self.domains, domain} if name}}

    def _accept(self, arrays: list[Array], exact: bool) -> None:
        """Refuse a result of no use; let the worlds drift in which results are off."""
        for array in arrays:
            if array.dtype.kind not in "fiub":
                raise Refused(f"the type {array.dtype}")
            if array.size > LARGEST:
                raise Refused("too large")
            if array.size == 0 or array.ndim > 6:
                raise Refused("empty")
            whole = array.dtype.kind in "iu" and array.itemsize >= 4
            # What overflows is not defined.
            if whole and np.abs(array.astype(np.float64)).max() > _MOST[array.itemsize]:
                raise Refused("too large numbers")
            if array.dtype.kind != "f":
                continue
            finite = np.isfinite(array)
            if not self.special and not finite.all():
                raise Refused("not finite")
            largest = np.abs(array[finite]).max(initial=0)
            if largest > (1e5 if array.dtype != np.float16 else 5e3):
                raise Refused("too large numbers")
        for world in range(self.real):
            off = arrays[world + self.real]
            _compare(arrays[world], off)
            if off.dtype.kind == "f" and not exact:
                largest = np.abs(off[np.isfinite(off)]).max(initial=0)
                arrays[world + self.real] = self._near(
                    off, _NOISE.get(str(off.dtype), 2e-6), largest
                )

    def _near(self, array: Array, noise: float, largest: float = 0.0) -> Array:
        """Elements that are off by a little, relatively and beside the largest."""
        drift = self.rng.uniform(-1, 1, array.shape) * noise
        beside = self.rng.uniform(-1, 1, array.shape) * largest * noise / 20
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(array * (1 + drift) + beside, array.dtype)

    @contextlib.contextmanager
    def attempt(self) -> Any:
        """What is added is taken back where something in it is refused."""
        before = (list(self.values), list(self.nodes), list(self.inputs), dict(self.initializers))
        users = [(value, value.users) for value in self.values]
        try:
            yield
        except Refused:
            self.values, self.nodes, self.inputs, self.initializers = before
            for value, count in users:
                value.users = count


_MOST = {4: 2.0**30, 8: 2.0**50}
"""Whole numbers, by the bytes of their type."""
_NOISE = {"float16": 1e-3}
"""By how much results are off, relatively."""


def _compare(right: Array, off: Array) -> None:
    """Refuse a result that changes much where what it is made of is off by a little."""
    if right.dtype.kind != "f":
        if not np.array_equal(right, off):
            raise Refused("near a jump")
        return
    finite = np.isfinite(right)
    if not np.array_equal(right[~finite], off[~finite], equal_nan=True):
        raise Refused("near a jump")
    most = 1e-2 if right.dtype == np.float16 else 3e-5
    largest = np.abs(right[finite]).max(initial=0)
    with np.errstate(invalid="ignore"):
        distance = np.abs(off.astype(np.float64) - right)[finite].max(initial=0)
    if not distance <= most * largest:
        raise Refused("ill-conditioned")


def make_node(
    op: str,
    inputs: Sequence[Value | None],
    names: Sequence[str],
    domain: str,
    attributes: Mapping[str, Any],
) -> NodeProto:
    taken = [value.name if value is not None else "" for value in inputs]
    while taken and not taken[-1]:
        taken.pop()
    proto = helper.make_node(op, taken, list(names), f"n{next(n for n in names if n)}")
    proto.domain = domain
    for name, value in attributes.items():
        if value is None:
            continue
        if isinstance(value, AttributeProto):
            proto.attribute.append(value)
        elif isinstance(value, np.ndarray):
            tensor = numpy_helper.from_array(value)
            proto.attribute.append(helper.make_attribute(name, tensor))
        elif isinstance(value, list) and not value:
            proto.attribute.append(AttributeProto(name=name, type=AttributeProto.INTS))
        else:
            proto.attribute.append(helper.make_attribute(name, value))
    return proto


def empty(name: str, kind: int = AttributeProto.FLOATS) -> AttributeProto:
    """An attribute that is an empty list."""
    return AttributeProto(name=name, type=kind)


@functools.cache
def _types(op: str, opset: int, position: int, domain: str) -> tuple[np.dtype[Any], ...]:
    schema = onnx.defs.get_schema(op, opset, domain)
    formal = schema.inputs[min(position, len(schema.inputs) - 1)]
    found = []
    for text in sorted(formal.types):
        name = text.removeprefix("tensor(").removesuffix(")")
        kind = {"float": "float32", "double": "float64"}.get(name, name)
        if kind in _PLAIN:
            found.append(np.dtype(kind))
    return tuple(found)


_PLAIN = {
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}


def type_of(array: Array) -> int:
    kind: int = helper.np_dtype_to_tensor_dtype(array.dtype)
    return kind


FLOAT = TensorProto.FLOAT
