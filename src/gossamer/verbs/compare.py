"""Dense and sparse model side by side: what is saved, and what it costs in accuracy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import onnx
from numpy.typing import NDArray

from gossamer import arguments
from gossamer.energy import (
    Candidate,
    Grid,
    Payback,
    Spending,
    given_grid,
    grid_of,
    measure,
    payback,
)
from gossamer.energy.carbon import JOULES_PER_KWH, cost
from gossamer.energy.meters import CpuTimeEstimate
from gossamer.energy.spinning import spinning_seconds
from gossamer.energy.statistics import LEAST_ROUNDS
from gossamer.errors import GossamerError, OptionError, first_line
from gossamer.files import temporary_folder
from gossamer.formats import save, save_onnx
from gossamer.formats.result_file import read_result
from gossamer.models.opening import open_model, read_onnx
from gossamer.models.places import SPARSE_FILE
from gossamer.models.source import named, one_inference, onnx_file, sparse_file
from gossamer.progress import ProgressLike, showing
from gossamer.summary import Summary
from gossamer.verbs.baselines import Baseline, baselines
from gossamer.verbs.inspect import Inspection, inspect_graph
from gossamer.verbs.layer_comparison import LayerTimes, compare_layers

if TYPE_CHECKING:
    from gossamer.energy import CandidateResult, Comparison
    from gossamer.energy.meters import Meter
    from gossamer.models.adapter import Batch
    from gossamer.pruning.result import Scores

Array = NDArray[Any]
Found = TypeVar("Found")

REFERENCE, DENSE, SPARSE = "dense, ONNX Runtime", "dense, Gossamer", "sparse, Gossamer"
# Energy and its price are told for so many inferences: joules of one say little to most.
_MANY = 1_000_000


@dataclass(frozen=True)
class Contents:
    """What a model holds.

    Attributes:
        weights: number of floating-point parameters.
        nonzeros: how many of them are not zero.
        sparsity: fraction of zeros over the layers that may be pruned.
        model_sparsity: fraction of zeros over all weights.
        multiply_adds: of these layers in one inference, as if nothing were zero; None if unknown.
        nonzero_multiply_adds: without those by zero.
    """

    weights: int
    nonzeros: int
    sparsity: float
    model_sparsity: float
    multiply_adds: int | None
    nonzero_multiply_adds: int | None


@dataclass(frozen=True, repr=False)
class Proof(Summary):
    """What `compare` found.

    Attributes:
        measured: the dense model in ONNX Runtime first, then the other baselines, then dense and
            sparse in Gossamer.
        scores: of dense and sparse model by `evaluate`; None if none was given.
        int8_scores: of dense and int8 model, where `evaluate` takes ONNX sessions.
        contents: of the dense and the sparse model, by these words.
        spinning_seconds: of the dense model in ONNX Runtime with its default of threads that spin
            between runs, in a process of its own; None where that failed.
        layers: of the pruned layers, the time each takes.
        rest: seconds of everything else, of the dense and the sparse model in Gossamer.
        payback: of the energy that sparsifying took, where that is known.
        grid: that carbon is told for, or None.
        price_per_kwh: that money is told for, or None.
        sparsified: `SparsifyResult.to_dict()` of the sparse model, where it is known.
        notes: what could not be measured, each a sentence.
    """

    measured: Comparison
    scores: Scores | None
    int8_scores: Scores | None
    contents: Mapping[str, Contents]
    spinning_seconds: float | None
    layers: tuple[LayerTimes, ...]
    rest: tuple[float, float] | None
    payback: Payback | None
    grid: Grid | None
    price_per_kwh: float | None
    sparsified: Mapping[str, Any] | None
    notes: tuple[str, ...]

    @property
    def sparse(self) -> CandidateResult:
        """The sparse model in Gossamer."""
        return self.measured.candidates[-1]

    @property
    def verdict(self) -> str:
        """What it comes to, in one sentence."""
        gains = self.sparse.gains
        assert gains is not None
        return (
            f"Against the dense model in ONNX Runtime, the sparse one in Gossamer is: energy: "
            f"{self.sparse.energy_verdict}; latency: {self.sparse.speed_verdict}."
        )

    @property
    def thriftier(self) -> tuple[str, ...]:
        """The candidates that surely take less energy than the sparse model."""
        own = self.sparse.energy.joules
        if own is None or self.sparse.energy.rounds < LEAST_ROUNDS:
            return ()
        others = [(one.name, one.energy.joules) for one in self.measured.candidates[:-1]]
        return tuple(name for name, joules in others if joules and joules.high < own.low)

    def per_million(self, result: CandidateResult) -> dict[str, float | None]:
        """Return what a million inferences of a candidate take: kWh, grams of CO2, money."""
        if result.energy.joules is None:
            return {"kwh": None, "grams": None, "cost": None}
        joules = _MANY * result.energy.joules.median
        price = self.price_per_kwh
        return {
            "kwh": joules / JOULES_PER_KWH,
            "grams": None if self.grid is None else self.grid.grams(joules),
            "cost": None if price is None else cost(joules, price),
        }

    def summary(self) -> dict[str, str]:
        """Return what it comes to, in words."""
        told = {"verdict": self.verdict, **self.measured.summary()}
        if self.scores is not None:
            told["score"] = f"{self.scores.sparse:.4g}, {self.scores.dense:.4g} dense"
        return told

    def _thriftier(self) -> list[str]:
        found = self.thriftier
        verb = "take" if len(found) > 1 else "takes"
        return [f"{' and '.join(found)} {verb} less energy still."] if found else []

    def _payback(self) -> dict[str, Any] | None:
        if self.payback is None:
            return None
        joules = self.payback.spent.joules
        grams = None if self.grid is None else self.grid.grams(joules)
        return {**asdict(self.payback), "spent_grams": grams}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        measured = self.measured.to_dict()
        for told, result in zip(measured["candidates"], self.measured.candidates, strict=True):
            told["per_million"] = self.per_million(result)
        return {
            **measured,
            "verdict": self.verdict,
            "notes": [*self._thriftier(), *self.notes, *measured["notes"]],
            "scores": _scores(self.scores),
            "int8_scores": _scores(self.int8_scores),
            "contents": {name: asdict(contents) for name, contents in self.contents.items()},
            "spinning_seconds": self.spinning_seconds,
            "layers": [asdict(layer) for layer in self.layers],
            "rest": None if self.rest is None else list(self.rest),
            "payback": self._payback(),
            "grid": None if self.grid is None else asdict(self.grid),
            "price_per_kwh": self.price_per_kwh,
            "sparsified": self.sparsified,
        }


def compare(
    dense: Any,
    sparse: Any,
    inputs: Any,
    *,
    evaluate: Callable[[Any], Any] | None = None,
    threads: int | None = None,
    min_time: float = 10.0,
    max_time: float = 60.0,
    rivals: bool = True,
    meters: Sequence[Meter] | None = None,
    watts_per_core: float | None = None,
    country: str | float | None = None,
    price_per_kwh: float | None = None,
    progress: ProgressLike = None,
) -> Proof:
    """Measure the dense model in ordinary runtimes, and dense and sparse in Gossamer, in turn.

    Args:
        dense: what `gossamer.compile` takes. Where models are files, their sizes are compared;
            else those of the ONNX export and of the sparse file.
        sparse: likewise, or what `sparsify` or `recover` returned, whose energy is then reckoned
            against what an inference saves. That of a folder which `gossamer sparsify` wrote is
            known too.
        inputs: what one inference is: arrays by input name, one array, a tuple in the order of the
            inputs, or a DataLoader, whose first batch it is; labels are left out.
        evaluate: from a model to one number or one a sample, higher being better: scores both
            models, before anything is measured. Where one of them is a module, the other is called
            as that is, in whatever file it lies; see `gossamer.models.evaluated`.
        threads: of one inference; by default every core that the process may use.
        min_time: seconds of measuring at least.
        max_time: seconds after which no round begins, however wide the intervals are.
        rivals: also measure the dense model as int8 in ONNX Runtime and, where OpenVINO is
            installed, as bf16 (or fp32) and int8 there.
        meters: of energy; see `gossamer.energy.measure`.
        watts_per_core: for the estimate of energy, in watts.
        country: two letters of ISO 3166, or grams of CO2 per kWh, to tell carbon for.
        price_per_kwh: to tell money for, in any currency.
        progress: True to show how far it is on stderr, or a function that is told the fraction of
            the measuring done, 0 to 1; see `gossamer.progress.showing`.

    Raises:
        ModelError: if a model cannot be read, exported or compiled.
        DataError: if the inputs do not fit.
        EvaluationError: if `evaluate` raises, gives no finite number, or gives another number of
            scores for the sparse model than for the dense one.
        OptionError: if onnxruntime is not installed, or a number is out of range.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise OptionError("comparing needs onnxruntime; install gossamer[ort]")
    grid = None if country is None else _grid(country)
    if price_per_kwh is not None:
        price_per_kwh = arguments.number(
            "price_per_kwh", price_per_kwh, lambda it: it >= 0, "a price, 0 or more"
        )
    arguments.check_function("evaluate", evaluate, "from the model to one number or one per sample")
    if threads is not None:
        threads = arguments.whole("threads", threads, 1)
    if watts_per_core is not None:
        # Known before the work whose energy it is to estimate.
        CpuTimeEstimate(watts_per_core)
    min_time = arguments.seconds("min_time", min_time)
    max_time = arguments.seconds("max_time", max_time)
    model, sparsified, spent = _sparse(sparse)
    with showing(progress) as shown:
        shown.start("reading both models, and exporting what is not ONNX yet")
        (dense_graph, _), (sparse_graph, names) = named(dense, inputs), named(model, inputs)
        graphs = {"dense": dense_graph, "sparse": sparse_graph}
        notes: list[str] = []
        feeds = one_inference(graphs["dense"], inputs, notes)
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            dense_file = _file(dense, graphs["dense"], folder / "dense.onnx")
            plain = _plain(dense_file, graphs["dense"], folder)
            sparse_path = _file(model, graphs["sparse"], folder / SPARSE_FILE)
            found: list[Baseline] = []
            if rivals:
                shown.start("making the dense model int8, as a rival")
                found, told = baselines(plain, feeds, folder)
                notes += told
            contestants = [
                Baseline(REFERENCE, dense_file, "onnxruntime"),
                *found,
                Baseline(DENSE, dense_file, "gossamer"),
                Baseline(SPARSE, sparse_path, "gossamer"),
            ]
            shown.start(f"compiling {len(contestants)} candidates")
            candidates = _opened(contestants, found, feeds, threads, stack, notes)
            # Before anything is measured, so that an evaluation that fails costs nothing.
            others = [model]
            int8 = next((one for one in candidates if one.name.startswith("int8, ONNX")), None)
            if int8 is not None and read_onnx(dense) is not None:
                others.append(int8.file)
            if evaluate is not None:
                shown.start(f"running evaluate on {1 + len(others)} models")
            scores, *rest_scores = scored(dense, others, evaluate, feeds)
            measured = measure(
                candidates,
                feeds,
                min_time=min_time,
                max_time=max_time,
                meters=meters,
                watts_per_core=watts_per_core,
                progress=shown,
            )
            shown.start("measuring ONNX Runtime with its default of spinning threads")
            spinning = _tried(
                lambda: spinning_seconds(plain, candidates[0].threads or 1, feeds),
                "ONNX Runtime with its default of spinning threads was not measured",
                notes,
            )
        results = measured.candidates
        timed = None
        # What was left to ONNX Runtime was measured there: times in generated code are not its own.
        if results[-1].ran_by == "gossamer":
            shown.start("timing each layer")
            timed = _tried(
                lambda: compare_layers(graphs["dense"], graphs["sparse"], feeds, threads),
                "The times of single layers were not measured",
                notes,
            )
        layers, rest = timed or ((), None)
        return Proof(
            measured=measured,
            scores=scores,
            int8_scores=rest_scores[0] if rest_scores else None,
            contents={name: _contents(inspect_graph(graphs[name], feeds)) for name in graphs},
            spinning_seconds=spinning,
            layers=tuple(replace(one, name=names.get(one.name, one.name)) for one in layers),
            rest=rest,
            payback=None
            if spent is None
            else payback(spent, [results[0], results[-2]], results[-1]),
            grid=grid,
            price_per_kwh=price_per_kwh,
            sparsified=sparsified,
            notes=tuple(notes),
        )


def _tried(act: Callable[[], Found], what: str, notes: list[str]) -> Found | None:
    """Return what comes of it; or None, and a note: what was measured before is kept."""
    try:
        return act()
    except GossamerError as error:
        notes.append(f"{what}: {error}.")
        return None


def _plain(file: Path, graph: onnx.ModelProto, folder: Path) -> Path:
    """Return the ONNX file of the dense model, which ordinary runtimes read."""
    if file.suffix == ".onnx":
        return file
    save_onnx(graph, folder / "plain.onnx")
    return folder / "plain.onnx"


def _opened(
    contestants: Sequence[Baseline],
    optional: Sequence[Baseline],
    feeds: Mapping[str, Array],
    threads: int | None,
    stack: ExitStack,
    notes: list[str],
) -> list[Candidate]:
    """Return the candidates; those of `optional` that do not run are noted and left out."""
    candidates = []
    for one in contestants:
        try:
            candidate = Candidate.from_file(
                one.file, engine=one.engine, threads=threads, name=one.name
            )
            if one in optional:
                candidate.run(dict(feeds))
        except Exception as error:
            if one not in optional:
                raise
            notes.append(f"{one.name} was not measured ({first_line(error)}).")
            continue
        stack.callback(candidate.close)
        candidates.append(candidate)
    return candidates


def _grid(country: str | float) -> Grid:
    if isinstance(country, str):
        try:
            return given_grid(float(country))
        except ValueError:
            return grid_of(country)
    return given_grid(country)


def _sparse(given: Any) -> tuple[Any, Mapping[str, Any] | None, Spending | None]:
    """Return the model that is given, how it came about, and what that took, where known."""
    spent = getattr(given, "energy_spent", None)
    if isinstance(spent, Spending):
        told = given.to_dict()
        return given.model, told if "trials" in told else None, spent
    if (stored := sparse_file(given)) is None:
        return given, None, None
    told = read_result(stored)
    return given, told if told and "trials" in told else None, Spending.told(told)


def is_known(sparse: Any) -> bool:
    """Return whether it is known how a sparse model came about, so that a card can tell it."""
    return _sparse(sparse)[1] is not None


def _file(model: Any, graph: onnx.ModelProto, export: Path) -> Path:
    """Return the file of a model that is one; else write to `export` what would be deployed."""
    stored = sparse_file(model) or onnx_file(model)
    if stored is not None:
        return stored
    if export.name == SPARSE_FILE:
        save(graph, export)
    else:
        save_onnx(graph, export)
    return export


def scored(
    dense: Any, others: Sequence[Any], evaluate: Callable[[Any], Any] | None, example: Batch
) -> list[Scores | None]:
    """Return the scores of each other model beside the dense one's."""
    if evaluate is None:
        return [None] * len(others)
    from gossamer.pruning.evaluation import compare, score

    opened = [open_model(model) for model in (dense, *others)]
    # The function may have been written for the module that is among them.
    like = next((adapter.copy() for adapter in opened if adapter.kind != "onnx"), None)
    first, *rest = (
        score(evaluate, adapter.copy(), like=like, example=example) for adapter in opened
    )
    return [compare(first, one) for one in rest]


def _contents(found: Inspection) -> Contents:
    parts = [
        None
        if layer.multiply_adds is None
        else layer.multiply_adds * (1 - layer.zeros / layer.weights)
        for layer in found.layers
        if layer.weights
    ]
    known = [part for part in parts if part is not None]
    return Contents(
        weights=found.weights,
        nonzeros=found.weights - found.zeros,
        sparsity=found.sparsity,
        model_sparsity=found.model_sparsity,
        multiply_adds=found.multiply_adds,
        nonzero_multiply_adds=round(sum(known)) if len(known) == len(parts) else None,
    )


def _scores(scores: Scores | None) -> dict[str, Any] | None:
    return None if scores is None else {**asdict(scores), "drop": scores.drop}
