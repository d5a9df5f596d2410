"""Operators that move elements about, and that make them out of sizes."""

from __future__ import annotations

import math

import numpy as np

from differential.builder import FLOATS, Axis, Graph, Refused, Value
from differential.registry import operators

F32 = FLOATS[0]
I64, I32 = np.dtype(np.int64), np.dtype(np.int32)


def listed(g: Graph, op: str, since: int, numbers: list[int]) -> Value | None:
    """Numbers as an input, from the operator set that has them so; else None: an attribute."""
    return g.constant(np.array(numbers, np.int64)) if g.opset >= since else None


@operators("Reshape")
def reshape(g: Graph, op: str) -> None:
    x = g.pick(g.types(op))
    shape = new_shape(g, x)
    allow = g.choice((None, 0)) if g.opset >= 14 else None
    if g.opset >= 14 and g.chance(0.1) and 0 not in shape:
        allow = 1
    g.add(op, x, g.constant(shape, np.int64), allowzero=allow, exact=True)


def new_shape(g: Graph, x: Value) -> list[int]:
    """A shape that the elements fit in every world, with 0 for what is kept and -1 for the rest."""
    parts: list[int] = []
    opened = sum(x.size(axis) is None for axis in range(x.rank))
    for axis in range(x.rank):
        size = x.size(axis)
        if size is None:
            # Kept at its place, or what is left over.
            if opened == 1 and -1 not in parts and (len(parts) != axis or g.chance(0.5)):
                parts.append(-1)
            elif len(parts) == axis:
                parts.append(0)
            else:
                raise Refused("open axes that cannot be kept")
        else:
            parts += split_size(g, size)
    if g.chance(0.5):
        places = [i for i in range(len(parts) - 1) if parts[i] > 0 and parts[i + 1] > 0]
        if places:
            i = g.choice(places)
            parts[i : i + 2] = [parts[i] * parts[i + 1]]
    if g.chance(0.25):
        parts.insert(len(parts) if 0 in parts else g.number(0, len(parts)), 1)
    fixed = [i for i, part in enumerate(parts) if part > 0]
    if -1 not in parts and 0 not in parts and fixed and g.chance(0.4):
        parts[g.choice(fixed)] = -1
    return parts


def split_size(g: Graph, size: int) -> list[int]:
    divisors = [d for d in range(2, size) if size % d == 0]
    if divisors and g.chance(0.4):
        first = g.choice(divisors)
        return [first, size // first]
    return [size]


@operators("Flatten")
def flatten(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    low = -x.rank if g.opset >= 11 else 0
    g.add(op, x, axis=g.choice((None, g.number(low, x.rank))), exact=True)


@operators("Transpose")
def transpose(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4, 5))
    order = None if g.chance(0.2) else [int(i) for i in g.rng.permutation(x.rank)]
    g.add(op, x, perm=order, exact=True)


@operators("Unsqueeze")
def unsqueeze(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (0, 1, 2, 3, 4))
    count = g.number(1, 2)
    axes = [int(a) for a in g.rng.permutation(x.rank + count)[:count]]
    if g.opset >= 11 and g.chance(0.3):
        axes = [axis - x.rank - count for axis in axes]
    given = listed(g, op, 13, axes)
    g.add(op, x, given, axes=None if given else axes, exact=True)


@operators("Squeeze")
def squeeze(g: Graph, op: str) -> None:
    def ones(value: Value) -> list[int]:
        return [axis for axis in range(value.rank) if value.size(axis) == 1]

    x = g.pick(g.types(op), (1, 2, 3, 4, 5), where=lambda v: bool(ones(v)))
    axes = [axis for axis in ones(x) if g.chance(0.7)] or ones(x)[:1]
    if g.chance(0.25):
        everywhere = all(1 not in x.sizes(a) for a in range(x.rank) if a not in ones(x))
        if everywhere or x.fixed:
            g.add(op, x, axes=[] if g.opset < 13 and g.chance(0.5) else None, exact=True)
            return
    if g.opset >= 11 and g.chance(0.3):
        axes = [axis - x.rank for axis in axes]
    given = listed(g, op, 13, axes)
    g.add(op, x, given, axes=None if given else axes, exact=True)


@operators("Expand")
def expand(g: Graph, op: str) -> None:
    x = g.pick(g.types(op))
    wanted = [
        g.number(1, 4) if x.size(axis) == 1 else (1 if g.chance(0.5) else x.size(axis) or 1)
        for axis in range(x.rank)
    ]
    if g.chance(0.2):
        wanted.insert(0, g.number(1, 3))
    g.add(op, x, g.constant(wanted, np.int64), exact=True)


@operators("Tile")
def tile(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    repeats = [g.choice((1, 1, 2, 3)) for _ in range(x.rank)]
    g.add(op, x, g.constant(repeats, np.int64), exact=True)


@operators("Concat")
def concat(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    axis = g.number(0, x.rank - 1)
    parts = [x, *(_like(g, x, axis) for _ in range(g.choice((0, 1, 1, 2))))]
    g.rng.shuffle(parts)  # type: ignore[arg-type]
    low = axis - x.rank if g.opset >= 11 and g.chance(0.3) else axis
    g.add(op, *parts, axis=low, exact=True)


def _like(g: Graph, x: Value, axis: int) -> Value:
    """A value of the same shape but along one axis."""

    def fits(value: Value) -> bool:
        return (
            value.dtype == x.dtype
            and value.rank == x.rank
            and all(value.sizes(a) == x.sizes(a) for a in range(x.rank) if a != axis)
        )

    found = [value for value in g.values if fits(value)]
    if found and g.chance(0.6):
        return g.choice(found)
    shape: list[Axis] = []
    for a in range(x.rank):
        name = next((n for n, s in g.symbols.items() if s == x.sizes(a)), None)
        size = x.size(a)
        if a == axis:
            shape.append(g.number(1, 4))
        elif size is None:
            if name is None:
                return x
            shape.append(name)
        else:
            shape.append(size)
    return g.input(x.dtype, shape)


@operators("Slice", weight=1.6)
def slice_(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    count = g.choice((1, 1, 1, 2))
    axes = [int(a) for a in g.rng.permutation(x.rank)[:count]]
    starts, ends, steps = [], [], []
    for axis in axes:
        start, end, step = cut(g, max(x.sizes(axis)), g.opset >= 10)
        starts.append(start)
        ends.append(end)
        steps.append(step)
    if g.chance(0.3):
        axes = [axis - x.rank for axis in axes]
    bare = axes == list(range(count)) and g.chance(0.5)
    if g.opset < 10:
        g.add(op, x, starts=starts, ends=ends, axes=None if bare else axes, exact=True)
        return
    kind = g.choice((I64, I64, I64, I32))
    if kind == I32:
        starts, ends = ([int(np.clip(n, -(2**31), 2**31 - 1)) for n in s] for s in (starts, ends))
    named = None if bare else g.constant(axes, kind)
    stepped = None if set(steps) == {1} and g.chance(0.6) else g.constant(steps, kind)
    g.add(op, x, g.constant(starts, kind), g.constant(ends, kind), named, stepped, exact=True)


def cut(g: Graph, size: int, steps: bool) -> tuple[int, int, int]:
    """Where a slice starts and ends, and its step; also beyond what there is."""
    most = g.choice((2**63 - 1, 2**31 - 1, 1000))
    start, end, step = g.choice(
        (
            (-g.number(1, 4), most, 1),
            (-g.number(1, 4), -1, 1),
            (g.number(0, 2), most, 1),
            (g.number(0, 1), g.number(2, 4), 1),
            (0, -g.number(1, 2), 1),
            (-100, g.number(1, 4), 1),
            (-g.number(1, 4), most, g.number(2, 3)),
            (g.number(0, 2), most, 2),
            (-1, -(2**63), -1),
            (most, -(2**63), -g.number(1, 2)),
            (-1, -g.number(2, 4), -1),
            (g.number(0, max(0, size - 1)), g.number(1, size), 1),
        )
    )
    return (start, end, step) if steps or step == 1 else (start, most, 1)


@operators("Gather", weight=1.3)
def gather(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    axis = g.number(0, x.rank - 1)
    rank = g.choice((0, 1, 1, 2))
    where = g.indices(
        min(x.sizes(axis)), [g.number(1, 4) for _ in range(rank)], g.choice((I64, I32))
    )
    low = axis - x.rank if g.chance(0.3) else axis
    g.add(op, x, where, axis=None if axis == 0 and g.chance(0.5) else low, exact=True)


@operators("GatherElements")
def gather_elements(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    axis = g.number(0, x.rank - 1)
    shape: list[Axis] = []
    for a in range(x.rank):
        size = min(x.sizes(a))
        name = next((n for n, s in g.symbols.items() if s == x.sizes(a)), None)
        if a == axis:
            shape.append(g.number(1, 4))
        elif x.size(a) is None:
            shape.append(name or 1)
        else:
            shape.append(size if g.chance(0.8) else g.number(1, size))
    where = g.indices(min(x.sizes(axis)), shape, g.choice((I64, I32)))
    low = axis - x.rank if g.chance(0.3) else axis
    g.add(op, x, where, axis=low, exact=True)


@operators("GatherND")
def gather_nd(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    batch = 0
    if g.opset >= 12 and x.rank > 1 and x.size(0) is not None and g.chance(0.3):
        batch = 1
    depth = g.number(1, x.rank - batch)
    front = [x.shape[a] for a in range(batch)] + [g.number(1, 3)] * g.number(0, 2)
    rows = [
        np.asarray(g.rng.integers(0, min(x.sizes(batch + a)), [*front, 1])) for a in range(depth)
    ]
    array = np.concatenate(rows, axis=-1).astype(np.int64)
    where = g.constant(array) if g.chance(0.5) else g.input(I64, array.shape, [array] * g.real)
    g.add(
        op, x, where, batch_dims=batch or g.choice((None, 0)) if g.opset >= 12 else None, exact=True
    )


@operators("Pad")
def pad(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    modes = ["constant", "constant", "reflect", "edge", *(["wrap"] if g.opset >= 19 else [])]
    mode = g.choice(modes)
    axes = list(range(x.rank))
    named = None
    if g.opset >= 18 and g.chance(0.3):
        axes = [a for a in axes if g.chance(0.6)] or axes[:1]
        named = axes if g.chance(0.6) else [a - x.rank for a in axes]
    amounts = []
    for _ in range(2):
        for axis in axes:
            most = min(x.sizes(axis)) - 1 if mode in ("reflect", "wrap") else 3
            amount = g.number(0, min(most, 3)) if g.chance(0.6) else 0
            if mode == "constant" and g.chance(0.08) and min(x.sizes(axis)) > 2:
                amount = -1
            amounts.append(amount)
    fill = g.choice((0, 1, -2 if x.dtype.kind != "u" else 3)) if g.chance(0.5) else None
    mode_given = None if mode == "constant" and g.chance(0.5) else mode
    if g.opset < 11:
        if x.dtype.kind != "f":
            raise Refused("a pad of integers")
        value = None if fill is None else float(fill)
        g.add(op, x, pads=amounts, mode=mode_given, value=value, exact=True)
        return
    filled = None if fill is None else g.constant(fill, x.dtype)
    axes_given = None if named is None else g.constant(named, np.int64)
    g.add(op, x, g.constant(amounts, np.int64), filled, axes_given, mode=mode_given, exact=True)


@operators("Split")
def split(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    fixed = [axis for axis in range(x.rank) if (x.size(axis) or 0) > 1]
    if not fixed:
        raise Refused("nothing to split")
    axis = g.choice(fixed)
    size = x.shape[axis]
    low = axis - x.rank if g.opset >= 11 and g.chance(0.3) else axis
    at: int | None = None if axis == 0 and g.chance(0.5) else low
    outputs = g.number(2, min(4, size))
    if g.chance(0.6):
        places = sorted(int(p) + 1 for p in g.rng.permutation(size - 1)[: outputs - 1])
        parts = [b - a for a, b in zip([0, *places], [*places, size], strict=True)]
        if g.opset < 13:
            g.node(op, [x], outputs, axis=at, split=parts, exact=True)
        else:
            g.node(op, [x, g.constant(parts, np.int64)], outputs, axis=at, exact=True)
        return
    if g.opset >= 18:
        each = -(-size // outputs)
        if each * (outputs - 1) >= size:
            outputs = -(-size // each)
        g.node(op, [x], outputs, axis=at, num_outputs=outputs, exact=True)
        return
    divisors = [d for d in range(2, 6) if size % d == 0]
    if not divisors:
        raise Refused("nothing to split evenly")
    g.node(op, [x], g.choice(divisors), axis=at, exact=True)


def image(g: Graph, op: str, channels: int | None = None, rank: int = 4) -> Value:
    """A batch of images with such channels, there or new; fixed but for the batch, mostly."""

    def fits(v: Value) -> bool:
        return (channels is None or v.size(1) == channels) and v.size(1) is not None

    kinds = g.types(op)
    existing = [v for v in g.values if v.dtype in kinds and v.rank == rank and fits(v)]
    if existing and g.chance(0.6):
        return g.choice(existing)
    shape: list[Axis] = [g.number(1, 3), channels or g.choice((1, 2, 3, 4, 6, 16, 17)), 0, 0]
    shape = shape[:2] + [g.choice((3, 4, 5, 7, 8, 9, 13)) for _ in range(rank - 2)]
    names = list(g.symbols)
    if names and g.chance(0.5):
        shape[0] = names[0]
    if names and g.chance(0.12):
        shape[g.number(2, rank - 1)] = names[-1]
    kind = F32 if F32 in kinds and g.chance(0.85) else g.kind(kinds)
    return g.input(kind, shape)


@operators("DepthToSpace")
def depth_to_space(g: Graph, op: str) -> None:
    block = g.choice((1, 2, 2, 3))
    x = image(g, op, block * block * g.number(1, 3))
    mode = g.choice((None, "DCR", "CRD")) if g.opset >= 11 else None
    g.add(op, x, blocksize=block, mode=mode, exact=True)


@operators("SpaceToDepth")
def space_to_depth(g: Graph, op: str) -> None:
    block = g.choice((1, 2, 2, 3))
    shape: list[Axis] = [
        g.number(1, 3),
        g.number(1, 5),
        block * g.number(1, 4),
        block * g.number(1, 4),
    ]
    if g.symbols and g.chance(0.5):
        shape[0] = next(iter(g.symbols))
    x = g.input(g.kind(g.types(op)), shape)
    mode = g.choice((None, "DCR", "CRD")) if g.opset >= 28 else None
    g.add(op, x, blocksize=block, mode=mode, exact=True)


@operators("Trilu")
def trilu(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (2, 3, 4))
    k = g.constant(g.number(-3, 3), np.int64) if g.chance(0.6) else None
    g.add(op, x, k, upper=g.choice((None, 0, 1)), exact=True)


@operators("CumSum")
def cumulative_sum(g: Graph, op: str) -> None:
    x = g.pick(g.types(op), (1, 2, 3, 4))
    axis = g.constant(g.number(-x.rank, x.rank - 1), g.choice((I64, I32)))
    g.add(op, x, axis, exclusive=g.choice((None, 0, 1)), reverse=g.choice((None, 0, 1)))


@operators("OneHot")
def one_hot(g: Graph, op: str) -> None:
    depth = g.number(1, 6)
    rank = g.number(0, 3)
    kind = g.choice((I64, I64, I32, F32))
    x = g.indices(depth + 1, g.axes(rank), kind)
    values = g.constant([g.number(-2, 1), g.number(2, 5)], g.choice((F32, I64)))
    size = g.constant(depth, I64) if g.chance(0.7) else g.constant([depth], I64)
    g.add(op, x, size, values, axis=g.choice((None, g.number(-rank - 1, rank))), exact=True)


# Out of sizes


@operators("Shape")
def shape(g: Graph, op: str) -> None:
    x = g.pick(g.types(op))
    start = end = None
    if g.opset >= 15:
        start = g.choice((None, None, g.number(-x.rank, x.rank)))
        end = g.choice((None, None, g.number(-x.rank, x.rank)))
    g.add(op, x, start=start, end=end, exact=True)


@operators("Size")
def size(g: Graph, op: str) -> None:
    g.add(op, g.pick(g.types(op)), exact=True)


def size_of(g: Graph, scalar: bool = False) -> Value:
    """One size of some value, as exporters compute it."""
    x = g.pick((F32, I64), (1, 2, 3, 4), where=lambda v: not v.constant)
    shape = g.add("Shape", x, exact=True)
    axis = g.number(0, x.rank - 1)
    place = g.constant(axis if scalar else [axis], I64)
    return g.add("Gather", shape, place, axis=0, exact=True)


@operators("ConstantOfShape")
def constant_of_shape(g: Graph, op: str) -> None:
    value = None
    if g.chance(0.7):
        kinds = [F32, F32, np.dtype(np.float64), I64, I32, np.dtype(bool)]
        value = np.array([g.number(-2, 3)]).astype(g.choice(kinds))
    if g.chance(0.4):
        wanted = g.constant([g.size() for _ in range(g.number(0, 3))], I64)
    else:
        parts = [size_of(g), g.constant([g.number(1, 4)], I64)]
        wanted = g.add("Concat", *parts[: g.number(1, 2)], axis=0, exact=True)
    g.add(op, wanted, value=value, exact=True)


@operators("Range")
def range_(g: Graph, op: str) -> None:
    if g.chance(0.5):
        first, step = g.constant(g.choice((0, 0, 1)), I64), g.constant(1, I64)
        g.add(op, first, size_of(g, scalar=True), step, exact=True)
        return
    kind = g.choice((I64, I64, I32, F32, np.dtype(np.float64)))
    step = g.choice((1, 2, -1))
    start = g.number(-2, 3)
    limit = start + step * g.number(1, 6)
    half = 0.5 if kind.kind == "f" and g.chance(0.5) else 0
    g.add(op, *(g.constant(n, kind) for n in (start + half, limit, step)), exact=True)


@operators("Resize", weight=2.0)
def resize(g: Graph, op: str) -> None:
    rank = g.choice((4, 4, 4, 3, 5, 2))
    x = image(g, op, rank=rank) if rank > 2 else g.pick((F32,), 2)
    opened = [x.size(axis) is None for axis in range(rank)]
    scales = [1.0] * rank
    for axis in range(max(0, rank - 2), rank):
        if not opened[axis]:
            scales[axis] = g.choice((0.5, 0.6, 0.7, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2, 2.3, 3, 1))
    if any(scale * x.shape[axis] < 1 for axis, scale in enumerate(scales)):
        raise Refused("nothing would be left")
    mode = g.choice(("nearest", "nearest", "linear", "linear", "cubic"))
    if g.opset == 10:
        mode = g.choice(("nearest", "linear"))
    only_finite(x, mode)
    if g.opset == 10:
        g.add(op, x, g.constant(scales, F32), mode=mode)
        return
    coordinates = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", None]
    coordinates += ["tf_crop_and_resize"] + (["half_pixel_symmetric"] if g.opset >= 19 else [])
    transformed = g.choice(coordinates)
    if mode == "cubic" and rank != 4 and g.chance(0.8):
        mode = "linear"
    attributes = {"mode": mode, "coordinate_transformation_mode": transformed}
    if mode == "nearest":
        attributes["nearest_mode"] = g.choice(
            ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", None)
        )
    if mode == "cubic":
        attributes |= {
            "cubic_coeff_a": g.choice((None, -0.5)),
            "exclude_outside": g.choice((None, 0, 1)),
        }
    region = None
    if transformed == "tf_crop_and_resize":
        begin = [0.0] * max(0, rank - 2) + [g.choice((0.0, 0.1, 0.3))] * 2
        end = [1.0] * max(0, rank - 2) + [g.choice((1.0, 0.8, 1.2))] * 2
        region = g.constant((begin + end)[: 2 * rank], F32)
        attributes["extrapolation_value"] = g.choice((None, 2.0))
    axes = None
    if g.opset >= 18:
        if g.chance(0.2) and mode in ("linear", "cubic"):
            attributes["antialias"] = 1
        if g.chance(0.2) and rank > 2 and region is None:
            axes = [rank - 2, rank - 1]
            attributes["axes"] = axes
    kept = axes or list(range(rank))
    if g.chance(0.5) or (any(opened[a] for a in kept) and g.chance(0.8)):
        wanted = g.constant([scales[a] for a in kept], F32)
        empty = g.constant(np.zeros(0, np.float32)) if g.opset < 13 and region is None else region
        g.add(op, x, empty, wanted, **attributes)
        return
    sizes = [max(1, math.floor(x.shape[a] * scales[a])) for a in kept]
    if g.opset >= 18 and g.chance(0.4) and axes:
        attributes["keep_aspect_ratio_policy"] = g.choice(("stretch", "not_larger", "not_smaller"))
    none = g.constant(np.zeros(0, np.float32)) if g.opset < 13 else None
    g.add(op, x, region or none, none, g.constant(sizes, I64), **attributes)


def only_finite(x: Value, mode: str | None) -> None:
    """A weight of zero between pixels keeps NaN and infinities out, which is documented."""
    if mode not in (None, "nearest") and not x.finite:
        raise Refused("weights of zero")


@operators("Upsample")
def upsample(g: Graph, op: str) -> None:
    x = image(g, op)
    scales = [1.0, 1.0, g.choice((1.0, 1.4, 1.5, 2.0, 2.3)), g.choice((1.0, 1.1, 2.0, 3.0))]
    mode = g.choice((None, "nearest", "linear"))
    only_finite(x, mode)
    if g.opset < 9:
        g.add(op, x, scales=scales, mode=mode)
    else:
        g.add(op, x, g.constant(scales, F32), mode=mode)
