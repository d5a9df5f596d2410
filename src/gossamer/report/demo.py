"""What the demo prints: what was found, in a dozen lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.report.quantities import percent, quantity, size
from gossamer.report.speed import candidate_table, times_faster

Document = Mapping[str, Any]


def print_demo(demo: Document, folder: str, console: Console | None = None) -> None:
    """Print what the demo found.

    Args:
        demo: `DemoResult.to_dict()`.
        folder: that the artefacts were written to.
        console: where to; standard output by default.
    """
    console = console or Console()
    console.print()
    for label, text in _findings(demo):
        line = Table.grid(padding=(0, 2))
        line.add_column(width=9, style="bold")
        line.add_column()
        line.add_row(label, Text(text))
        console.print(line)
    console.print()
    console.print(_table(demo, console))
    console.print()
    for note in _notes(demo, folder):
        console.print(Text(note))


def _findings(demo: Document) -> list[tuple[str, str]]:
    result, parts = demo["sparsified"], demo["parts"]
    low, high = result["final_drop_interval"]
    dense, sparse = demo["measured"]["candidates"][0], demo["measured"]["candidates"][-1]
    return [
        (
            "Model",
            "all-MiniLM-L6-v2, a sentence encoder; its embeddings tell a BBC News document's topic",
        ),
        (
            "Sparsity",
            f"{percent(result['sparsity'])} of the weights of {len(result['layers'])} linear "
            f"layers ({_range(result)}), {percent(result['model_sparsity'])} of the whole model "
            "(its word embeddings stay dense)",
        ),
        (
            "Accuracy",
            f"{percent(result['final_dense_score'])} dense, {percent(result['final_score'])} "
            f"sparse, on {parts['final']} documents that the search never saw: a drop of "
            f"{100 * result['final_drop']:.1f} points (95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f})",
        ),
        (
            "Search",
            f"at most {100 * result['max_drop']:.1f} points at the upper end of the interval, on "
            f"{parts['search']} other documents; {len(result['trials'])} models tried, each a mix "
            "of sparsities by what layers lose and take here",
        ),
        ("File", f"{size(dense['file_bytes'])} dense, {size(sparse['file_bytes'])} sparse"),
        (
            "Check",
            f"compiled, it tells {percent(demo['compiled_accuracy'])} right; its outputs are "
            f"within {demo['difference']:.0e} of ONNX Runtime's on the same sparse model",
        ),
    ]


def _range(result: Document) -> str:
    """Return the least and the most sparsity of a layer, in words."""
    each = [100 * layer["sparsity"] for layer in result["layers"]]
    return f"{min(each):.0f} to {max(each):.0f} % each"


def _table(demo: Document, console: Console) -> Table:
    measured = demo["measured"]["candidates"]
    result = demo["sparsified"]
    scores = (
        result["final_dense_score"],
        demo["int8_accuracy"],
        result["final_dense_score"],
        demo["compiled_accuracy"],
    )
    kind = measured[0]["energy"]["kind"]
    columns = ("latency", "times faster", f"energy ({kind})", "file", "accuracy")
    table = candidate_table(console, "one document", *columns)
    for candidate, score in zip(measured, scores, strict=True):
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["latency_ms"]["median"] / 1000, "s"),
            times_faster(candidate),
            quantity(candidate["energy"]["joules"]["median"], "J"),
            size(candidate["file_bytes"]),
            percent(score),
        )
    return table


def _notes(demo: Document, folder: str) -> list[str]:
    measured = demo["measured"]
    dense, int8, _, sparse = measured["candidates"]
    notes = [f"Against dense in ONNX Runtime, the sparse model is: {sparse['speed_verdict']}."]
    result = demo["sparsified"]
    if result["final_drop"] > result["max_drop"]:
        notes.append(
            "The drop on unseen documents is larger than was allowed in the search: it was one of "
            "those that a 95 % interval misses. Search on more documents for a firmer limit."
        )
    if int8["latency_ms"]["median"] < sparse["latency_ms"]["median"]:
        notes.append(
            "Dynamic int8, which any ONNX model gets for one call, is faster still on this model "
            "and machine."
        )
    machine = measured["environment"]
    notes += [
        f"Measured in turn, {measured['rounds']} rounds, medians with 95 % intervals; "
        f"{machine['processor']}, {dense['threads']} threads. Energy is "
        f"{dense['energy']['method']}.",
        f"Everything is in {folder}/ ({demo['seconds']:.0f} s). To run it anywhere: "
        f'gossamer.compile("{folder}/model.gossamer.safetensors")',
    ]
    return notes
