"""The command line: one function a verb, each of them thin.

An error that the user can mend is one line on stderr and exit code 2, below it the traceback of the
user's own code if it lies there; anything else is a bug and shows its traceback. Results go to
stdout, as a table or with --json as one JSON object; progress goes to stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import gossamer as gs
from gossamer import command_line
from gossamer.command_line import print_json
from gossamer.models.places import FORMS

if TYPE_CHECKING:
    from gossamer.pruning.recovery.result import RecoveryResult
    from gossamer.pruning.result import SparsifyResult

app = typer.Typer(
    name="gossamer",
    help="Make trained models sparse, run them so that the zeros save energy, prove how much.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"{FORMS[0].upper()}{FORMS[1:]}.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to run with; by default every core.")
]
Inputs = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="An .npz file whose arrays bear the input names (first axis: samples), or "
        "FILE.py:FUNCTION yielding batches.",
    ),
]
Seconds = Annotated[
    float, typer.Option(min=0.0, help="Seconds of measuring; more makes the intervals narrower.")
]
WattsPerCore = Annotated[
    float | None,
    typer.Option(
        help="Watts of one busy core, for the estimate of energy; by default what the processor's "
        "maker publishes, else 5."
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Samples of one inference.")]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; `arguments` stand in for sys.argv[1:].

    Raises:
        SystemExit: always; see `gossamer.command_line.run`.
    """
    command_line.run(app, arguments)


def _version(asked: bool) -> None:
    if asked:
        print(f"gossamer {gs.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make trained models sparse, run them so that the zeros save energy, prove how much."""


@app.command(epilog="Example: gossamer demo --out my-demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path(
        "gossamer-demo"
    ),
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Show the whole path on a real text encoder and real documents, in a few minutes."""
    from gossamer.demo.run import run_demo

    found = run_demo(out, threads=threads).to_dict()
    if as_json:
        print_json(found)
        return
    from gossamer.report.demo import print_demo

    print_demo(found, str(out))


@app.command(epilog="Example: gossamer inspect model.onnx")
def inspect(model: ModelArgument, inputs: Inputs = None, as_json: Json = False) -> None:
    """List the model's layers, with their weights, zeros, bytes and multiply-adds."""
    found = gs.inspect(model, _example(model, inputs)).to_dict()
    if as_json:
        print_json(found)
        return
    from gossamer.report.terminal import print_inspection

    print_inspection(_in_options("sparsify", found))


@app.command(epilog="Example: gossamer explain model.onnx --inputs data.npz")
def explain(
    model: ModelArgument,
    inputs: Inputs = None,
    batch: Batch = 1,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compile the model and say how each node runs here: its kernel, and its share of the time."""
    from dataclasses import asdict

    from gossamer.models.source import named, one_inference
    from gossamer.progress import showing

    example = _example(model, inputs, batch)
    with showing() as shown:
        shown.start("compiling")
        graph, names = named(model, example)
        feeds = one_inference(graph, example)
        with gs.compile(graph, threads=threads) as session:
            shown.start("timing each node")
            lines = session.explain(feeds)
        nodes = [asdict(line) | {"name": names.get(line.name, line.name)} for line in lines]
    found = {
        "threads": session.threads,
        "inputs": {name: list(array.shape) for name, array in feeds.items()},
        "nodes": nodes,
    }
    if as_json:
        print_json(found)
        return
    from gossamer.report.terminal import print_explanation

    print_explanation(found)


@app.command(epilog="Example: gossamer advise model.onnx --sparsity 0.8 --sparsity 0.9")
def advise(
    model: ModelArgument,
    inputs: Inputs = None,
    batch: Batch = 1,
    sparsity: Annotated[
        list[float] | None,
        typer.Option(help="One to try, 0 to 1; repeatable. By default 0.5 to 0.95."),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(help="One to try; repeatable. By default unstructured and block:4x1."),
    ] = None,
    seconds: Seconds = 20.0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Time what each sparsity and pattern would save on this machine, before any pruning."""
    from gossamer.verbs.advise import PATTERNS, SPARSITIES

    found = gs.advise(
        model,
        _example(model, inputs, batch),
        sparsities=sparsity or SPARSITIES,
        patterns=pattern or PATTERNS,
        threads=threads,
        min_time=seconds,
        progress=True,
    ).to_dict()
    if as_json:
        print_json(found)
        return
    from gossamer.report.advice import print_advice

    print_advice(found)


@app.command(
    epilog="Example: gossamer sparsify model.onnx --out sparse --calibration data.npz "
    "--sparsity 0.8"
)
def sparsify(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="New folder for the sparse model.")],
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="A few hundred samples: an .npz file whose arrays bear the input names (first "
            "axis: samples), or FILE.py:FUNCTION yielding batches.",
        ),
    ] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Fraction of the pruned weights to remove, 0 to 1.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Fraction of the dense model's cost that may remain, 0 to 1."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="What a budget or a search is to save: energy, latency, bytes or sparsity."
        ),
    ] = "energy",
    allocation: Annotated[
        str | None,
        typer.Option(
            help="uniform, erk, global, sensitivity or cost. By default uniform with --sparsity, "
            "else cost."
        ),
    ] = None,
    evaluate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="From the model to one number or one a sample; higher is better.",
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Search for the cheapest model whose score falls by no more."),
    ] = None,
    final_evaluate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="Like --evaluate, on data that the search does not use.",
        ),
    ] = None,
    solver: Annotated[str, typer.Option(help="admm, obs, wanda or magnitude.")] = "admm",
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            help="unstructured (the default), block:4x1 (four neighbouring outputs keep the same "
            "inputs; any block:RxC), 2:4 (any n:m) or channel; of several each layer gets the best."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Regular expression for the names of the layers to prune."),
    ] = None,
    levels: Annotated[
        list[float] | None,
        typer.Option(
            "--level",
            help="Of a search or a budget: a sparsity that a layer may get, 0 to 1; repeatable.",
        ),
    ] = None,
    threads: Threads = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Keeps what is worked out: the same command goes on after an interruption."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Remove weights to a stated sparsity or budget, or as far as an accuracy drop allows."""
    from gossamer.folders import check_folder

    check_folder(out)
    result = gs.sparsify(
        model,
        calibration,
        sparsity=sparsity,
        budget=budget,
        objective=objective,
        allocation=allocation,
        evaluate=_function(evaluate),
        max_drop=max_drop,
        final_evaluate=_function(final_evaluate),
        solver=solver,
        pattern=pattern or "unstructured",
        layers=layers,
        levels=levels or None,
        threads=threads,
        folder=folder,
        progress=True,
    )
    found = _saved(result, out)
    if as_json:
        print_json({**found, "out": str(out)})
        return
    from gossamer.report.sparsify import print_sparsify

    print_sparsify(_in_options("sparsify", found))
    print(f"Written to {out}.")


@app.command(epilog="Example: gossamer recover sparse bert --data samples.npz --out recovered")
def recover(
    sparse: Annotated[
        str,
        typer.Argument(
            metavar="SPARSE",
            help="The sparse MODEL, as a module: a folder that `gossamer sparsify` wrote of a "
            "Hugging Face model, or FILE.py:FUNCTION.",
        ),
    ],
    dense: Annotated[
        str, typer.Argument(metavar="DENSE", help="The dense MODEL, likewise: what to learn from.")
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="Some thousand samples, without labels: an .npz file whose arrays bear the input "
            "names (first axis: samples), or FILE.py:FUNCTION yielding batches.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the recovered model.")],
    steps: Annotated[int, typer.Option(help="Mini-batches to train on.")] = 600,
    batch_size: Annotated[int, typer.Option(help="Samples of a mini-batch.")] = 32,
    learning_rate: Annotated[float | None, typer.Option(help="The peak; by default 5e-4.")] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TERM=WEIGHT",
            help="Such as hidden=1; repeatable. By default what suits the kind of model.",
        ),
    ] = None,
    task_loss: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="From what the model returns and the mini-batch, labels and all, to a loss.",
        ),
    ] = None,
    evaluate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="From the module to one number or one a sample; scores it before and after.",
        ),
    ] = None,
    max_cpu_minutes: Annotated[
        float | None, typer.Option(help="CPU time that the steps may take; fewer if they must.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="To train on, such as cuda; by default the CPU.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="For checkpoints: the same command goes on after an interruption."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Win back accuracy by training the weights that are left; zeros stay where they are."""
    from gossamer.folders import check_folder

    check_folder(out)
    result = gs.recover(
        sparse,
        dense,
        data,
        steps=steps,
        batch_size=batch_size,
        losses=_weights(loss),
        task_loss=_function(task_loss),
        learning_rate=learning_rate,
        evaluate=_function(evaluate),
        max_cpu_minutes=max_cpu_minutes,
        device=device,
        folder=folder,
        progress=True,
    )
    found = _saved(result, out)
    if as_json:
        print_json({**found, "out": str(out)})
        return
    from gossamer.report.recovery import print_recovery

    print_recovery(found)
    print(f"Written to {out}.")


@app.command(epilog="Example: gossamer export sparse --to onnx --out model.onnx")
def export(
    model: ModelArgument,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="onnx, for any runtime; sparse, the sparse file with its graph; or hf, a "
            "directory that from_pretrained loads.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="New folder; or a file that ends in .onnx or .safetensors.")
    ],
    inputs: Inputs = None,
    as_json: Json = False,
) -> None:
    """Write a model in another form."""
    from gossamer.progress import showing

    with showing() as shown:
        shown.start("exporting and writing")
        example = _example(model, inputs)
        written = gs.export(model, out, to=to, example_inputs=example)
    if as_json:
        print_json(written.to_dict())
        return
    from gossamer.report.tables import print_parts

    files = f": {', '.join(written.files)}" if out.is_dir() else ""
    print_parts(None, *written.notes, f"Written to {out}{files}.")


@app.command(
    epilog="Example: gossamer compare model.onnx sparse --inputs data.npz --report report.html"
)
def compare(
    dense: Annotated[str, typer.Argument(metavar="DENSE", help="The dense MODEL.")],
    sparse: Annotated[str, typer.Argument(metavar="SPARSE", help="The sparse MODEL.")],
    inputs: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="An .npz file whose arrays bear the input names (first axis: samples), or "
            "FILE.py:FUNCTION yielding batches; the first samples are used.",
        ),
    ],
    batch: Batch = 1,
    evaluate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="From the model to one number or one a sample; scores both models.",
        ),
    ] = None,
    min_time: Annotated[float, typer.Option(min=0.0, help="Seconds of measuring at least.")] = 10.0,
    max_time: Annotated[
        float,
        typer.Option(
            min=0.0, help="Seconds of measuring at most, if the intervals stay wide so long."
        ),
    ] = 60.0,
    rivals: Annotated[
        bool,
        typer.Option(help="Also measure the dense model as int8, and in OpenVINO if installed."),
    ] = True,
    country: Annotated[
        str | None,
        typer.Option(
            metavar="CODE|GRAMS",
            help="Tell carbon by a country's grid, such as DE, or for so many grams per kWh.",
        ),
    ] = None,
    price: Annotated[
        float | None, typer.Option(help="Tell what a kilowatt-hour at this price comes to.")
    ] = None,
    watts_per_core: WattsPerCore = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Also write a report to look at.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="FILE.md", help="Also write a Hugging Face model card.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure dense, its rivals and sparse in turn: time, energy, memory, size, accuracy."""

    if report is not None:
        from gossamer.report.html import check_report

        check_report(report)
    if card is not None:
        from gossamer.report.model_card import check_card
        from gossamer.verbs.compare import is_known

        check_card(card, is_known(sparse))
    scoring = _function(evaluate)
    found = gs.compare(
        dense,
        sparse,
        _example(dense, inputs, batch),
        evaluate=scoring,
        threads=threads,
        min_time=min_time,
        max_time=max_time,
        rivals=rivals,
        watts_per_core=watts_per_core,
        country=country,
        price_per_kwh=price,
        progress=True,
    ).to_dict()
    if as_json:
        print_json(found)
    else:
        from gossamer.report.terminal import print_proof

        print_proof(found)
    # What was found stands on the screen, whatever becomes of the files.
    if report is not None:
        from gossamer.report.html import write_report

        write_report(found, report)
        _say(f"The report is {report}.", as_json)
    if card is not None:
        from gossamer.report.model_card import write_card

        write_card(card, None, found)
        _say(f"The model card is {card}.", as_json)


@app.command(epilog="Example: gossamer edge scenario.yaml --out pictures")
def edge(
    scenario: Annotated[
        Path, typer.Argument(metavar="SCENARIO.yaml", help="See examples/edge-scenario.yaml.")
    ],
    sparse: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SPARSE.json]",
            help="With --compare: where the sparse model was compared, if not in the same file.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="DENSE.json",
            help="What `gossamer compare --json` printed: takes from there what an inference of "
            "the dense and of the sparse model takes.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for pictures and result.json.")
    ] = None,
    realisations: Annotated[
        int | None,
        typer.Option(min=1, help="Draws of positions and fading; by default the scenario's."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes at work; by default one a core.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Place inference tasks on base stations for least power, and tell what sparsity saves."""
    from dataclasses import replace

    from gossamer import machine
    from gossamer.edge.joules import compared_joules
    from gossamer.edge.scenario import read_scenario
    from gossamer.edge.study import study
    from gossamer.errors import OptionError

    if sparse is not None and compare is None:
        raise OptionError(f"{sparse} stands alone; give --compare DENSE.json {sparse}")
    if out is not None:
        from gossamer.edge.plot import check_pictures

        check_pictures(out)
    read = read_scenario(scenario)
    joules = None
    if compare is not None:
        joules = dict(zip(("dense", "sparse"), compared_joules(compare, sparse), strict=True))
    result = study(
        read if realisations is None else replace(read, realisations=realisations),
        joules=joules,
        processes=processes or machine.usable_processors(),
        progress=True,
    )
    found = result.to_dict()
    if out is not None:
        from gossamer.edge.plot import write_pictures

        write_pictures(found, out)
    if as_json:
        print_json(found)
        return
    from gossamer.report.edge import print_edge

    print_edge(found)
    if out is not None:
        print(f"The pictures are in {out}.")


@app.command(epilog="Example: gossamer meters --idle 5")
def meters(
    idle: Annotated[
        float, typer.Option(min=0.0, help="Seconds to do nothing for, to measure idle power.")
    ] = 0.0,
    watts_per_core: WattsPerCore = None,
    as_json: Json = False,
) -> None:
    """Say what energy this machine can measure, and how to get more."""
    from gossamer.energy.environment import processor
    from gossamer.energy.meters import default_meters, find_meters, idle_watts

    used = default_meters(watts_per_core=watts_per_core)[0].name
    found = {
        "processor": processor(),
        "meters": [
            {
                "name": one.name,
                "works": one.meter is not None,
                "used": one.name == used,
                "says": one.says,
                "idle_watts": idle_watts(one.meter, idle) if idle and one.meter else None,
            }
            for one in find_meters(watts_per_core=watts_per_core)
        ],
    }
    if as_json:
        print_json(found)
        return
    from gossamer.report.terminal import print_meters

    print_meters(found)


@app.command(name="help")
def help_(
    verb: Annotated[str, typer.Argument(metavar="[VERB]", help="By default all.")] = "",
) -> None:
    """Show what a verb does, what it takes, and an example."""
    app([*([verb] if verb else []), "--help"], prog_name="gossamer")


def _example(model: Any, data: str | None, samples: int = 1) -> Any:
    """Return the first samples of DATA as the model takes them; None without data."""
    if data is None:
        return None
    from gossamer.models.source import first_samples

    return first_samples(model, data, samples)


def _saved(result: SparsifyResult | RecoveryResult, out: Path) -> dict[str, Any]:
    """Write a result into its folder, and return what is to be told of it."""
    from gossamer.progress import showing

    with showing() as shown:
        shown.start("exporting and writing")
        written = result.save(out)
    return {**result.to_dict(), "notes": [*result.notes, *written.notes]}


def _in_options(verb: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found with its notes in the words of a verb's options."""
    notes = [command_line.in_options(app, [verb], note) for note in found["notes"]]
    return {**found, "notes": notes}


def _function(given: str | None) -> Any:
    """Return the function that FILE.py:FUNCTION names; an empty text names none, and says so."""
    from gossamer.models.python_file import load_function

    return None if given is None else load_function(given)


def _weights(losses: list[str] | None) -> dict[str, float] | None:
    """Return the weights of the terms of a loss, by name; None where none are given."""
    from gossamer.errors import OptionError

    if not losses:
        return None
    found = {}
    for one in losses:
        term, _, weight = one.partition("=")
        try:
            found[term] = float(weight)
        except ValueError as error:
            raise OptionError(f"{one!r} is no term and weight; give such as hidden=1") from error
    return found


def _say(words: str, as_json: bool) -> None:
    """Print a line where people read; not into JSON that a program reads."""
    print(words, file=sys.stderr if as_json else sys.stdout)
