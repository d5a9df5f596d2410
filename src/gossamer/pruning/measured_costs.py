"""What a layer costs at each level, measured in Gossamer's own runtime on this machine.

ZipLM (Kurtic, Frantar, Alistarh 2023, section 3.2) and SPDY (Frantar, Alistarh 2022, section 3.1)
take a table of timed layers in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossamer import machine
from gossamer.energy import environment
from gossamer.errors import ModelError
from gossamer.files import temporary_folder
from gossamer.models.adapter import Batch, Layer, ModelAdapter
from gossamer.models.calibration import samples_in
from gossamer.progress import Progress
from gossamer.pruning.costs import Objective
from gossamer.pruning.folder import short_digest
from gossamer.quantities import listed
from gossamer.sparsity.allocation import Choice

if TYPE_CHECKING:
    import onnx

    from gossamer.pruning.folder import Folder

# Turns that each level has; every turn is a median over some runs by itself.
_TURNS = 5
_VERSIONS = ("gossamer", "llvmlite", "numpy", "onnxruntime", "torch")


@dataclass(frozen=True)
class Measured:
    """Seconds of one inference in Gossamer on this machine.

    Attributes:
        objective: `latency` is wall time; `energy` is CPU time, taken on one thread, where there
            is no waiting for others.
        rest: seconds of everything but the layers.
        dense: seconds of each layer as it was given.
        sparse: of each layer, by pattern: (sparsity, seconds), sparser ones later.
        notes: what the user should know.
    """

    objective: Objective
    rest: float
    dense: dict[str, float]
    sparse: dict[str, dict[str, list[tuple[float, float]]]]
    notes: tuple[str, ...] = ()

    def layer(self, name: str, choice: Choice | None) -> float:
        """Return the seconds of a layer; those between two measured levels by interpolation."""
        if choice is None:
            return self.dense[name]
        points = [(0.0, self.dense[name]), *self.sparse[name][choice.pattern.name]]
        sparsities, seconds = zip(*points, strict=True)
        return float(np.interp(choice.sparsity, sparsities, seconds))


def one_sample(batches: Sequence[Batch], adapter: ModelAdapter) -> Batch:
    """Return one inference of typical length: a sample from the middle of the data.

    Where the model is fixed to a number of samples it is so many.
    """
    batch = batches[len(batches) // 2]
    if any(wanted.shape and wanted.shape[0] for wanted in adapter.inputs()):
        return batch
    samples = samples_in(batch)
    if samples == 1:
        return batch
    middle = samples // 2
    return {name: array[middle : middle + 1] for name, array in batch.items()}


def measure(
    dense: ModelAdapter,
    layers: Sequence[Layer],
    levels: Sequence[Choice],
    example: Batch,
    objective: Objective,
    threads: int | None,
    folder: Folder | None,
    progress: Progress,
) -> Measured:
    """Time every layer at every level within runs of the compiled model.

    For each level, one model with the smallest weights of all layers zeroed is compiled; the
    models then take turns. A layer's times must not rise as it gets sparser: where noise makes
    them, they are replaced by the means of their neighbours (isotonic regression). Layers that
    the export does not show as they are get the cost of their multiply-adds at the speed of the
    others, and a note says so. Those whose zeros no kernel skips cost nothing at any level: what
    they take is part of the rest.

    Args:
        dense: the model.
        layers: to time.
        levels: at which, beside dense.
        example: one inference.
        objective: "latency", or "energy", for which a single thread runs.
        threads: of one inference; by default a physical core each.
        folder: where costs that were measured before are found and new ones are kept.
        progress: told of each compilation and turn.

    Raises:
        ModelError: if the model cannot be exported or compiled, or no layer is found in the export.
    """
    threads = 1 if objective == "energy" else threads or machine.default_threads()
    surroundings = environment.describe()
    key = short_digest(
        dense.digest(),
        [layer.name for layer in layers],
        [(level.pattern.name, level.sparsity) for level in levels],
        {name: list(array.shape) for name, array in example.items()},
        surroundings["processor"],
        {name: surroundings["versions"].get(name) for name in _VERSIONS},
        objective,
        threads,
    )
    file = f"costs-{key}.json"
    known = folder.read(file) if folder else None
    if known is not None:
        # Damaged by hand, it is measured again.
        with suppress(AttributeError, LookupError, TypeError, ValueError):
            return _from_json(known, objective, [layer.name for layer in layers])
    found = _measure(dense, layers, levels, example, objective, threads, progress)
    if folder:
        folder.write(file, _to_json(found))
    return found


def _measure(
    dense: ModelAdapter,
    layers: Sequence[Layer],
    levels: Sequence[Choice],
    example: Batch,
    objective: Objective,
    threads: int,
    progress: Progress,
) -> Measured:
    from gossamer.models.onnx_feeds import as_taken
    from gossamer.models.onnx_layers import find_layers, name_uses
    from gossamer.pruning.layer_times import match_layers
    from gossamer.runtime import compile

    graph = name_uses(_export(dense, example))
    exported = [one for one in find_layers(graph) if one.layer.gain]
    if dense.kind == "onnx":
        places = {
            layer.name: [one for one in exported if one.layer.name == layer.name]
            for layer in layers
            if layer.gain
        }
    else:
        weights = {
            layer.name: dense.weight(layer.name).cpu().numpy() for layer in layers if layer.gain
        }
        places = match_layers(weights, exported)
    nodes = [
        [use.node.name for one in places[layer.name] for use in one.uses] if layer.gain else []
        for layer in layers
    ]
    if not any(layer.gain for layer in layers):
        raise ModelError(
            f"no kernel skips zeros in the layers that were named, so they save no {objective}; "
            "give objective='bytes' or 'sparsity', or name others"
        )
    if not any(nodes):
        raise ModelError("none of the layers is found in the model's ONNX export")
    timed = {one.layer.name for found in places.values() for one in found}
    progress.start("measuring what each layer costs", len(levels) + 1 + _TURNS)
    feeds = as_taken(graph.graph, example)
    with ExitStack() as stack:
        sessions = []
        for level in (None, *levels):
            # Generated code also where `compile` would leave the model to ONNX Runtime.
            session = compile(_zeroed(graph, timed, level), threads=threads, engine="gossamer")
            sessions.append(stack.enter_context(session))
            progress.advance()
        seconds, rest = _take_turns(sessions, feeds, nodes, progress)
    return _table(dense, layers, levels, example, objective, nodes, seconds, rest)


def _export(dense: ModelAdapter, example: Batch) -> onnx.ModelProto:
    from gossamer.formats import load_onnx

    if dense.kind == "onnx":
        model: onnx.ModelProto = dense.model
        return model
    with temporary_folder() as folder:
        path = folder / "model.onnx"
        dense.export_onnx(path, example)
        return load_onnx(path)


def _zeroed(graph: onnx.ModelProto, names: set[str], level: Choice | None) -> onnx.ModelProto:
    import torch

    from gossamer.pruning.layer_times import zero_weights

    if level is None:
        return graph

    def kept(sizes: NDArray[np.float32]) -> NDArray[np.bool_]:
        mask = level.pattern.mask(torch.from_numpy(np.ascontiguousarray(sizes)), level.sparsity)
        return np.asarray(mask.numpy())

    return zero_weights(graph, names, kept)


def _take_turns(
    sessions: Sequence[Any],
    feeds: Batch,
    nodes: Sequence[Sequence[str]],
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median seconds, `[levels, layers]` (NaN where there are none) and `[levels]`."""
    from gossamer.pruning.layer_times import layer_seconds

    taken = np.full((_TURNS, len(sessions), len(nodes)), np.nan)
    rest = np.zeros((_TURNS, len(sessions)))
    for turn in range(_TURNS):
        # There and back again, so that a drift of the machine falls on all levels alike.
        order = range(len(sessions)) if turn % 2 == 0 else reversed(range(len(sessions)))
        for at in order:
            layers, rest[turn, at] = layer_seconds(sessions[at], feeds, nodes)
            taken[turn, at] = [np.nan if one is None else one for one in layers]
        progress.advance()
    # The median of nothing but NaN is NaN, as it should be.
    return np.median(taken, axis=0), np.median(rest, axis=0)


def _table(
    dense: ModelAdapter,
    layers: Sequence[Layer],
    levels: Sequence[Choice],
    example: Batch,
    objective: Objective,
    nodes: Sequence[Sequence[str]],
    seconds: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> Measured:
    notes = []
    lost = [layer for layer, names in zip(layers, nodes, strict=True) if layer.gain and not names]
    left = [
        layer.name
        for index, layer in enumerate(layers)
        if nodes[index] and np.isnan(seconds[:, index]).any()
    ]
    if left:
        notes.append(
            f"{_named(left)} left to ONNX Runtime, which skips no zeros: nothing is saved there."
        )
    rates = _multiply_adds(dense, layers, example) if lost else {}
    known = [
        seconds[0, index] / rates[layer.name]
        for index, layer in enumerate(layers)
        if rates and np.isfinite(seconds[0, index]) and rates[layer.name]
    ]
    pace = float(np.median(known)) if known else 0.0
    if lost:
        notes.append(
            f"{_named([layer.name for layer in lost])} not found in the ONNX export: the cost is "
            "reckoned from multiply-adds, at the speed of the other layers."
        )
    dense_seconds: dict[str, float] = {}
    sparse: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for index, layer in enumerate(layers):
        own = seconds[:, index]
        if layer in lost:
            densities = np.array([1.0, *(1.0 - level.sparsity for level in levels)])
            own = densities * rates[layer.name] * pace
        elif not np.isfinite(own).all():
            own = np.zeros(len(levels) + 1)
        dense_seconds[layer.name], sparse[layer.name] = _smooth(levels, own)
    return Measured(objective, float(rest[0]), dense_seconds, sparse, tuple(notes))


def _named(names: Sequence[str]) -> str:
    return f"Layers {listed(names)} are" if len(names) > 1 else f"Layer {listed(names)} is"


def _smooth(
    levels: Sequence[Choice], seconds: NDArray[np.float64]
) -> tuple[float, dict[str, list[tuple[float, float]]]]:
    """Return a layer's dense seconds, and by pattern those of its levels, falling throughout."""
    dense = float(seconds[0])
    sparse: dict[str, list[tuple[float, float]]] = {}
    for pattern in dict.fromkeys(level.pattern.name for level in levels):
        own = sorted(
            (level.sparsity, float(taken))
            for level, taken in zip(levels, seconds[1:], strict=True)
            if level.pattern.name == pattern
        )
        # The dense layer is not changed for a pattern's sake: it bounds what sparser ones take.
        falling = falling_fit(np.array([taken for _, taken in own]))
        sparse[pattern] = [
            (sparsity, min(dense, float(taken)))
            for (sparsity, _), taken in zip(own, falling, strict=True)
        ]
    return dense, sparse


def falling_fit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest numbers, in squares, that never rise: isotonic regression.

    Pool adjacent violators: neighbours that rise are replaced by their mean, until none do.
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((float(value), 1))
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            (one, few), (other, more) = pools[-2:]
            pools[-2:] = [((one * few + other * more) / (few + more), few + more)]
    return np.concatenate([np.full(count, value) for value, count in pools] or [np.zeros(0)])


def _multiply_adds(
    dense: ModelAdapter, layers: Sequence[Layer], example: Batch
) -> dict[str, float]:
    """Return how many multiply-adds each layer does for one inference."""
    positions = dict.fromkeys((layer.name for layer in layers), 0)

    def count(name: str, inputs: Any) -> None:
        positions[name] += inputs.shape[-2]

    dense.copy().capture([example], list(positions), count)
    return {layer.name: float(positions[layer.name] * layer.weights) for layer in layers}


def _to_json(costs: Measured) -> dict[str, Any]:
    return {
        "rest": costs.rest,
        "dense": costs.dense,
        "sparse": costs.sparse,
        "notes": list(costs.notes),
    }


def _from_json(found: Mapping[str, Any], objective: Objective, names: list[str]) -> Measured:
    """Undo `_to_json`.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: if it is not what that wrote.
    """
    sparse = {
        name: {
            pattern: [(float(sparsity), float(seconds)) for sparsity, seconds in points]
            for pattern, points in own.items()
        }
        for name, own in ((name, found["sparse"][name]) for name in names)
    }
    dense = {name: float(found["dense"][name]) for name in names}
    notes = tuple(str(note) for note in found["notes"])
    return Measured(objective, float(found["rest"]), dense, sparse, notes)
