"""What the demo prints: what was found, in a dozen lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.quantities import percent, quantity, size
from gossamer.report.speed import times_faster
from gossamer.report.tables import new_table, print_parts

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
    print_parts(console, _table(demo), *_notes(demo, folder))


def _findings(demo: Document) -> list[tuple[str, str]]:
    result, parts = demo["sparsified"], demo["parts"]
    low, high = result["final_drop_interval"]
    dense, sparse = demo["proof"]["candidates"][0], demo["proof"]["candidates"][-1]
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
            f"compiled, it tells {percent(demo['proof']['scores']['sparse'])} right; its outputs "
            f"are within {demo['difference']:.0e} of ONNX Runtime's on the same sparse model",
        ),
    ]


def _range(result: Document) -> str:
    """Return the least and the most sparsity of a layer, in words."""
    each = [100 * layer["sparsity"] for layer in result["layers"]]
    return f"{min(each):.0f} to {max(each):.0f} % each"


def _table(demo: Document) -> Table:
    measured = demo["proof"]["candidates"]
    kind = measured[0]["energy"]["kind"]
    columns = ("latency", "times faster", f"energy ({kind})", "file", "accuracy")
    table = new_table("one document", *columns)
    for candidate in measured:
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["latency_ms"]["median"] / 1000, "s"),
            times_faster(candidate),
            quantity(candidate["energy"]["joules"]["median"], "J"),
            size(candidate["file_bytes"]),
            _accuracy(demo["proof"], candidate["name"]),
        )
    return table


def _accuracy(proof: Document, name: str) -> str:
    """Return the accuracy of a candidate, as it was evaluated; a dash where it was not."""
    if name.endswith("OpenVINO"):
        return "-"
    if name.startswith("sparse"):
        return percent(proof["scores"]["sparse"])
    if name.startswith("int8"):
        return percent(proof["int8_scores"]["sparse"]) if proof["int8_scores"] else "-"
    return percent(proof["scores"]["dense"])


def _notes(demo: Document, folder: str) -> list[str]:
    proof = demo["proof"]
    first, sparse = proof["candidates"][0], proof["candidates"][-1]
    notes = [
        f"Against dense in ONNX Runtime, the sparse model is: {sparse['speed_verdict']}; energy: "
        f"{sparse['energy_verdict']}."
    ]
    result = demo["sparsified"]
    if result["final_drop"] > result["max_drop"]:
        notes.append(
            "The drop on unseen documents is larger than was allowed in the search: it was one of "
            "those that a 95 % interval misses. Search on more documents for a firmer limit."
        )
    notes += proof["notes"]
    if proof["payback"]:
        notes.append(proof["payback"]["says"])
    machine = proof["environment"]
    notes += [
        f"Measured in turn, {proof['rounds']} rounds, medians with 95 % intervals; "
        f"{machine['processor']}, threads: {first['threads']}. Energy is "
        f"{first['energy']['method']}.",
        f"Everything is in {folder}/ ({demo['seconds']:.0f} s). To run it anywhere: "
        f'gossamer.compile("{folder}/model.gossamer.safetensors")',
        f"The report to look at: {folder}/report.html",
    ]
    return notes
