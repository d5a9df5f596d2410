"""What each sparsity and pattern would save here, by timing, before anything is pruned.

The smallest weights of the layers that `sparsify` would prune are set to zero, without any regard
to accuracy. Each such model is compiled and timed in turn with the dense one in ONNX Runtime, and
its layers one by one. How many zeros a layer has decides how long it takes, and where they fall
hardly matters: the times are those of a model pruned with care to the same sparsity and pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gossamer import arguments
from gossamer.errors import OptionError
from gossamer.files import temporary_folder
from gossamer.formats import save, save_onnx
from gossamer.models.onnx_layers import OnnxLayer, find_layers, name_uses
from gossamer.models.opening import read_onnx
from gossamer.models.selection import choose_layers
from gossamer.models.source import named, one_inference
from gossamer.progress import Fraction, ProgressLike, by_fraction, showing
from gossamer.pruning.layer_times import layer_seconds, zero_weights
from gossamer.quantities import count
from gossamer.sparsity.patterns import get_pattern
from gossamer.summary import Summary

if TYPE_CHECKING:
    from gossamer.energy import Candidate, CandidateResult, Comparison
    from gossamer.models.adapter import Batch, Layer

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
PATTERNS = ("unstructured", "block:4x1")

# Times of single kernels scatter by a few percent; a layer that gains less is better left dense.
_LEAST_GAIN = 1.05
# Rounds that a model is measured for at least, however slow it is, within so many seconds.
_ROUNDS = 10
_MOST_SECONDS = 300.0
# A precision that every measurement has.
_ANY = 1e9


@dataclass(frozen=True)
class Timed:
    """A model in Gossamer, dense or with zeros: the whole and its layers.

    Attributes:
        pattern: of the zeros; None for the dense model.
        sparsity: over the pruned layers; 0 for the dense model.
        result: of the whole model, its gains against dense in ONNX Runtime.
        layers: seconds of each prunable layer within a run, in the order of `Advice.layers`; None
            for those that are left to ONNX Runtime.
        rest: seconds of everything else: what no sparsity makes faster.
    """

    pattern: str | None
    sparsity: float
    result: CandidateResult
    layers: tuple[float | None, ...]
    rest: float


@dataclass(frozen=True, repr=False)
class Advice(Summary):
    """What was timed, and what it means.

    Attributes:
        layers: those that `sparsify` prunes by default.
        reference: the dense model in ONNX Runtime.
        dense: the dense model in Gossamer.
        sparse: each pattern at each sparsity; none if every layer is left to ONNX Runtime.
        rounds: turns that each model had at least.
        noisy_windows: turns that began while this process was busy otherwise.
        inputs: shapes of one inference, by name.
        environment: processor, cores, load before all this, platform and versions.
    """

    layers: tuple[Layer, ...]
    reference: CandidateResult
    dense: Timed
    sparse: tuple[Timed, ...]
    rounds: int
    noisy_windows: int
    inputs: dict[str, tuple[int, ...]]
    environment: dict[str, Any]

    @property
    def prunable_weights(self) -> int:
        """How many weights the layers have together."""
        return sum(layer.weights for layer in self.layers)

    def pays(self, timed: Timed) -> bool:
        """Whether it is faster than the dense model in either runtime, beyond doubt."""
        ours, theirs = timed.result.gains, self.dense.result.gains
        assert ours is not None and theirs is not None
        return _faster(timed) and ours.latency.low > theirs.latency.high

    def left_dense(self) -> tuple[Layer, ...]:
        """The layers that take no less time at any sparsity than dense."""
        return tuple(
            layer
            for index, layer in enumerate(self.layers)
            if not any(_gains(self.dense.layers[index], one.layers[index]) for one in self.sparse)
        )

    @property
    def verdict(self) -> str:
        """One sentence: where sparsity begins to pay here and how far it goes, or that it does not.

        A sparsity pays if the model is faster than dense in ONNX Runtime and in Gossamer.
        """
        if not self.sparse:
            return (
                "No gain: all layers of this model that could be pruned are left to ONNX Runtime, "
                "which skips no zeros."
            )
        paying = [one for one in self.sparse if self.pays(one)]
        if not paying:
            already = f"; in Gossamer that is {_words(self.dense)}" if _faster(self.dense) else ""
            return (
                "No gain: at none of these sparsities is this model faster here than dense, be it "
                f"in ONNX Runtime or in Gossamer{already}."
            )
        first = min(paying, key=lambda one: (one.sparsity, -_gain(one)))
        best = max(paying, key=_gain)
        more = "" if best is first else f", with {_title(best)} {_words(best)}"
        return (
            f"Sparsity pays here from {100 * first.sparsity:g} % on: with {_title(first)} the "
            f"model is {_words(first)} than dense in ONNX Runtime{more}."
        )

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        return {
            "verdict": self.verdict,
            "timed": f"{2 + len(self.sparse)} models of {len(self.layers)} layers with "
            f"{count(self.prunable_weights)} prunable weights",
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        left = {layer.name for layer in self.left_dense()}
        return {
            "verdict": self.verdict,
            "prunable_weights": self.prunable_weights,
            "rounds": self.rounds,
            "noisy_windows": self.noisy_windows,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "environment": self.environment,
            "reference": self.reference.to_dict(),
            "dense": {**self.dense.result.to_dict(), "rest_seconds": self.dense.rest},
            "sparse": [
                {
                    "pattern": one.pattern,
                    "sparsity": one.sparsity,
                    "pays": self.pays(one),
                    "rest_seconds": one.rest,
                    **one.result.to_dict(),
                }
                for one in self.sparse
            ],
            "layers": [
                {
                    "name": layer.name,
                    "rows": layer.rows,
                    "columns": layer.columns,
                    "leave_dense": layer.name in left,
                    "dense_seconds": self.dense.layers[index],
                    "sparse_seconds": [one.layers[index] for one in self.sparse],
                }
                for index, layer in enumerate(self.layers)
            ],
        }


def advise(
    model: Any,
    example_inputs: Any = None,
    *,
    sparsities: Sequence[float] = SPARSITIES,
    patterns: Sequence[str] = PATTERNS,
    threads: int | None = None,
    min_time: float = 20.0,
    progress: ProgressLike = None,
) -> Advice:
    """Time what each sparsity and pattern would save on this machine, before any pruning.

    One model at a time is held beside the dense one.

    Args:
        model: what `gossamer.compile` takes.
        example_inputs: what one inference is: arrays by input name, one array, or a tuple in the
            order of the inputs. By default one sample of 128 tokens or 224 x 224 pixels.
        sparsities: to try, each above 0 and below 1, over the layers that `sparsify` would prune.
        patterns: to try each sparsity with; see `gossamer.sparsity.patterns.get_pattern`.
        threads: of one inference; by default every core that the process may use.
        min_time: seconds of measuring, shared by all; compiling and memory are not counted.
        progress: True to show how far it is on stderr, or a function that is told the fraction
            done, 0 to 1; see `gossamer.progress.showing`.

    Raises:
        OptionError: if a sparsity is out of range, a pattern unknown, or onnxruntime missing.
        ModelError: if the model cannot be read, or has no layers to prune.
        DataError: if the example is needed and missing, or does not fit.
    """
    from gossamer.energy import Candidate, environment

    grid = _grid(sparsities, patterns)
    min_time = arguments.seconds("min_time", min_time)
    if threads is not None:
        threads = arguments.whole("threads", threads, 1)
    # Before anything of ours makes the machine busy.
    surroundings = environment.describe()
    with showing(progress) as shown:
        shown.start("reading the model")
        graph, names = named(model, example_inputs)
        graph = name_uses(graph)
        feeds = one_inference(graph, example_inputs)
        layers = chosen_layers(graph)
        with temporary_folder() as folder:
            file = folder / "dense.onnx"
            save_onnx(graph, file)
            reference = Candidate.from_file(file, threads=threads, name="dense, ONNX Runtime")
            seconds = min_time / (1 + len(grid))
            told = by_fraction(shown, f"compiling and timing {1 + len(grid)} models, each in turn")
            bench = _Bench(reference, layers, feeds, threads, seconds, told, 1 + len(grid))
            try:
                dense = bench.time(file, None, 0.0)
                sparse = []
                # Zeros cost ONNX Runtime as much as other numbers: nothing is left to find out.
                native = any(seconds is not None for seconds in dense.layers)
                for pattern, sparsity in grid if native else ():
                    file = folder / "sparse.gossamer.safetensors"
                    save(prune_graph(graph, sparsity, pattern), file)
                    sparse.append(bench.time(file, pattern, sparsity))
                    file.unlink()
            finally:
                reference.close()
    first = bench.comparisons[0]
    return Advice(
        layers=tuple(
            replace(found.layer, name=names.get(found.layer.name, found.layer.name))
            for found in layers
        ),
        reference=first.candidates[0],
        dense=dense,
        sparse=tuple(sparse),
        rounds=min(found.rounds for found in bench.comparisons),
        noisy_windows=sum(found.noisy_windows for found in bench.comparisons),
        inputs=first.inputs[0],
        environment=surroundings,
    )


class _Bench:
    """Times one model after the other, each in turn with the reference."""

    def __init__(
        self,
        reference: Candidate,
        layers: Sequence[OnnxLayer],
        feeds: Batch,
        threads: int | None,
        seconds: float,
        progress: Fraction,
        total: int,
    ) -> None:
        self.comparisons: list[Comparison] = []
        self._reference = reference
        self._nodes = [[use.node.name for use in found.uses] for found in layers]
        self._feeds, self._threads, self._seconds = feeds, threads, seconds
        self._progress, self._total = progress, total

    def time(self, file: Path, pattern: str | None, sparsity: float) -> Timed:
        """Time the model that `file` holds."""
        from gossamer.energy import Candidate, measure
        from gossamer.runtime import compile

        name = f"{100 * sparsity:g} % {pattern}" if pattern else "dense, Gossamer"
        # Generated code also where `compile` would leave the model to ONNX Runtime: to see why.
        with compile(_read(file), threads=self._threads, engine="gossamer") as session:
            layers, rest = layer_seconds(session, self._feeds, self._nodes)
            candidate = Candidate(
                name,
                lambda feeds: session.run(None, feeds),
                file,
                "gossamer",
                session.threads,
            )
            found = measure(
                [self._reference, candidate],
                self._feeds,
                min_time=self._seconds,
                max_time=_MOST_SECONDS,
                min_rounds=_ROUNDS,
                # As soon as there are so many rounds: many models wait.
                precision=_ANY,
                progress=self._tell,
            )
        # Its memory is known now; without an engine it is not measured again.
        self._reference = replace(self._reference, engine=None)
        self.comparisons.append(found)
        result = self._with_memory_gain(found.candidates[1])
        return Timed(pattern, sparsity, result, layers, rest)

    def _with_memory_gain(self, result: CandidateResult) -> CandidateResult:
        dense, own = self.comparisons[0].candidates[0].peak_memory.bytes, result.peak_memory.bytes
        ratio = dense / own if dense and own else None
        assert result.gains is not None
        return replace(result, gains=replace(result.gains, peak_memory_bytes=ratio))

    def _tell(self, fraction: float) -> None:
        self._progress((len(self.comparisons) + fraction) / self._total)


def _read(file: Path) -> onnx.ModelProto:
    model = read_onnx(file)
    assert model is not None
    return model


def chosen_layers(model: onnx.ModelProto) -> list[OnnxLayer]:
    """Return the layers that `sparsify` prunes by default.

    Raises:
        ModelError: if there are none.
    """
    found = find_layers(model)
    chosen = {layer.name for layer in choose_layers([one.layer for one in found], None)}
    return [one for one in found if one.layer.name in chosen]


def prune_graph(
    model: onnx.ModelProto, sparsity: float, pattern: str = "unstructured"
) -> onnx.ModelProto:
    """Return a copy of `model` with the smallest weights of each layer set to zero.

    For timing only: nothing makes up for what is removed. The layers are those that `sparsify`
    prunes by default. Needs no torch, unlike the solvers.

    Args:
        model: the model, its external data loaded.
        sparsity: fraction of each layer's weights to remove, 0 to 1.
        pattern: of the zeros; see `gossamer.sparsity.patterns.get_pattern`.

    Raises:
        ModelError: if the model has no layers to prune.
        OptionError: if there is no such pattern.
    """
    names = {found.layer.name for found in chosen_layers(model)}
    shape, own = get_pattern(pattern).shape, get_pattern(pattern).sparsity
    if own is not None:
        return zero_weights(model, names, lambda sizes: _kept_of_every(sizes, own, shape[1]))
    return zero_weights(model, names, lambda sizes: _kept(sizes, sparsity, shape))


def _kept_of_every(sizes: NDArray[np.float32], sparsity: float, of: int) -> NDArray[np.bool_]:
    """Return which weights stay, `[rows, columns]`: the largest of every `of` columns."""
    rows, columns = sizes.shape
    padded = np.pad(sizes, ((0, 0), (0, -columns % of)), constant_values=-1)
    groups = padded.reshape(rows, -1, of)
    ranks = groups.argsort(axis=2).argsort(axis=2)
    return (ranks >= round(sparsity * of)).reshape(rows, -1)[:, :columns]


def _kept(sizes: NDArray[np.float32], sparsity: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which weights stay, `[rows, columns]`: whole blocks, those of the largest sum."""
    rows, columns = sizes.shape
    shape = min(shape[0], rows), min(shape[1], columns)
    for axis, length in enumerate(shape):
        sizes = np.add.reduceat(sizes, np.arange(0, sizes.shape[axis], length), axis=axis)
    removed = round(sparsity * sizes.size)
    lowest = np.argpartition(sizes, max(removed - 1, 0), axis=None)[:removed]
    keep = np.ones(sizes.size, np.bool_)
    keep[lowest] = False
    blocks = keep.reshape(sizes.shape).repeat(shape[0], axis=0).repeat(shape[1], axis=1)
    return blocks[:rows, :columns]


def _grid(sparsities: Sequence[float], patterns: Sequence[str]) -> list[tuple[str, float]]:
    chosen = sorted(set(arguments.numbers("sparsities", sparsities)))
    if not chosen or not all(0 < sparsity < 1 for sparsity in chosen):
        raise OptionError(f"sparsities={chosen} must be numbers between 0 and 1")
    asked = arguments.names("patterns", patterns)
    if not asked:
        raise OptionError("patterns= is empty; leave it out to try the usual ones")
    known = {found.name: found for found in map(get_pattern, asked)}
    return [
        (name, sparsity)
        for name, found in known.items()
        for sparsity in (chosen if found.sparsity is None else [found.sparsity])
    ]


def _gains(dense: float | None, sparse: float | None) -> bool:
    return dense is not None and sparse is not None and sparse * _LEAST_GAIN < dense


def _gain(timed: Timed) -> float:
    assert timed.result.gains is not None
    return timed.result.gains.latency.median


def _title(timed: Timed) -> str:
    return f"{100 * timed.sparsity:g} % {timed.pattern}"


def _words(timed: Timed) -> str:
    return timed.result.speed_verdict or ""


def _faster(timed: Timed) -> bool:
    return "faster" in _words(timed)
