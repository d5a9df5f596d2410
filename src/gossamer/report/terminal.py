"""Tables for the terminal, in eighty columns; plain text where the output is no terminal.

Each takes what `to_dict()` gives, so that a table can be made again from a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.report.quantities import count, figures, percent, quantity, size
from gossamer.report.speed import gain_style

Document = Mapping[str, Any]


def print_comparison(comparison: Document, console: Console | None = None) -> None:
    """Print a comparison: a column for each candidate, and what it means in words.

    Args:
        comparison: `Comparison.to_dict()`.
        console: where to; standard output by default.
    """
    candidates = comparison["candidates"]
    print_parts(console, _comparison_table(candidates), *_comparison_notes(comparison))


def print_inspection(inspection: Document, console: Console | None = None) -> None:
    """Print a model's layers and sums.

    Args:
        inspection: `Inspection.to_dict()`.
        console: where to; standard output by default.
    """
    table = new_table("layer", "kind", "shape", "weights", "zeros", "bytes", "mult-adds")
    for layer in inspection["layers"]:
        table.add_row(
            Text(layer["name"]),
            Text(layer["operator"]),
            f"{layer['rows']} x {layer['columns']}",
            count(layer["weights"]),
            percent(layer["zeros"] / layer["weights"]) if layer["weights"] else "-",
            size(layer["bytes"]),
            _known_count(layer["multiply_adds"]),
        )
    summary = (
        f"{len(inspection['layers'])} layers with {count(inspection['prunable_weights'])} prunable "
        f"weights, sparsity {percent(inspection['sparsity'])}; whole model: "
        f"{count(inspection['weights'])} weights, sparsity "
        f"{percent(inspection['model_sparsity'])}, {size(inspection['bytes'])} as dense float32."
    )
    shapes = ", ".join(f"{name} {shape}" for name, shape in inspection["inputs"].items())
    work = f"{_known_count(inspection['multiply_adds'])} multiply-adds for {shapes}."
    print_parts(console, table, summary, *([work] if shapes else []))


def print_explanation(explanation: Document, console: Console | None = None) -> None:
    """Print how each node of a compiled model runs, and what kernels take together.

    Args:
        explanation: `nodes`, each a `gossamer.runtime.Explanation` as a dictionary; `inputs`, their
            shapes by name; `threads`.
        console: where to; standard output by default.
    """
    table = new_table("node", "operator", "kernel", "sparsity", "time", "share")
    for column in table.columns[1:]:
        column.no_wrap = True
    table.columns[1].justify = table.columns[2].justify = "left"
    steps = _steps(explanation["nodes"])
    views = sum(first["kernel"] == "view" for first, *_ in steps)
    for first, *others in steps:
        if first["kernel"] == "view":
            continue
        operators = [op for node in (first, *others) for op in node["op"].split("+")]
        table.add_row(
            Text(first["name"]),
            Text(operators[0] + (f" and {len(operators) - 1} more" if operators[1:] else "")),
            first["kernel"],
            "-" if first["sparsity"] is None else percent(first["sparsity"]),
            "-" if first["seconds"] is None else quantity(first["seconds"], "s"),
            "-" if first["share"] is None else percent(first["share"]),
        )
    print_parts(console, table, *_explanation_notes(explanation, steps, views))


def _steps(nodes: Iterable[Document]) -> list[list[Document]]:
    """Return what runs at once together: a node, or those that ONNX Runtime runs as one."""
    steps: list[list[Document]] = []
    for node in nodes:
        left = node["kernel"] == "ONNX Runtime" and node["seconds"] is None
        if left and steps and steps[-1][0]["kernel"] == "ONNX Runtime":
            steps[-1].append(node)
        else:
            steps.append([node])
    return steps


def _explanation_notes(explanation: Document, steps: list[list[Document]], views: int) -> list[str]:
    seconds: dict[str, float] = {}
    counts: dict[str, int] = {}
    for first, *_ in steps:
        if first["seconds"] is not None:
            kernel = first["kernel"]
            seconds[kernel] = seconds.get(kernel, 0.0) + first["seconds"]
            counts[kernel] = counts.get(kernel, 0) + 1
    whole = sum(seconds.values())
    shares = ", ".join(
        f"{kernel} {percent(seconds[kernel] / whole)} ({counts[kernel]})"
        for kernel in sorted(seconds, key=lambda kernel: -seconds[kernel])
    )
    shapes = ", ".join(f"{name} {shape}" for name, shape in explanation["inputs"].items())
    threads = explanation["threads"]
    notes = [
        f"A run for {shapes} on {threads} {'thread' if threads == 1 else 'threads'} takes "
        f"{quantity(whole, 's')}.",
        f"By kernel: {shares}.",
    ]
    if views:
        notes.append(f"Left out: {views} that only look at a value in another shape, at no cost.")
    reasons = dict.fromkeys(node["reason"] for step in steps for node in step if node["reason"])
    if reasons:
        notes.append(f"In ONNX Runtime, because: {'; '.join(reasons)}.")
    return notes


def print_parts(console: Console | None, *parts: Table | str) -> None:
    """Print tables and notes one below the other."""
    console = console or Console()
    for part in parts:
        if isinstance(part, str):
            console.print(Text(part))
            continue
        # A line between head and body helps the eye, and is in the way of other programs.
        part.box = box.SIMPLE_HEAD if console.is_terminal else None
        console.print(part)
        console.print()


def new_table(first: str, *others: str) -> Table:
    """Return an empty table: a first column of names, and others of numbers."""
    table = Table(header_style="bold", pad_edge=False)
    table.add_column(first, overflow="fold")
    for other in others:
        table.add_column(other, justify="right")
    return table


def _comparison_table(candidates: Iterable[Document]) -> Table:
    candidates = list(candidates)
    table = Table(header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("one inference", overflow="fold")
    for candidate in candidates:
        table.add_column(Text(candidate["name"]), justify="right", overflow="fold")
    kind = candidates[0]["energy"]["kind"]
    table.add_row("latency", *(_timed(c, "latency_ms", "latency", "s", 1e-3) for c in candidates))
    table.add_row(
        "CPU seconds", *(_timed(c, "cpu_seconds", "cpu_seconds", "s", 1) for c in candidates)
    )
    table.add_row(f"energy ({kind})", *(_energy(c) for c in candidates))
    table.add_row(
        "peak memory",
        *(_exact(c, c["peak_memory"]["bytes"], "peak_memory_bytes") for c in candidates),
    )
    table.add_row("file", *(_exact(c, c["file_bytes"], "file_bytes") for c in candidates))
    table.add_row(
        "compressed", *(_exact(c, c["compressed_bytes"], "compressed_bytes") for c in candidates)
    )
    return table


def _timed(candidate: Document, figure: str, gain: str, unit: str, scale: float) -> Text:
    cell = Text(quantity(candidate[figure]["median"] * scale, unit))
    return cell.append_text(_gain(candidate, gain))


def _energy(candidate: Document) -> Text:
    cell = Text(quantity(candidate["energy"]["joules"]["median"], "J"))
    return cell.append_text(_gain(candidate, "energy"))


def _exact(candidate: Document, number: int | None, gain: str) -> Text:
    cell = Text(size(number))
    ratio = candidate["gains"] and candidate["gains"][gain]
    return cell.append(f"\n{_times(ratio)}", "dim") if ratio else cell


def _gain(candidate: Document, name: str) -> Text:
    if candidate["gains"] is None:
        return Text()
    gain = candidate["gains"][name]
    ends = [gain["low"], gain["high"]]
    if gain["median"] < 1:
        ends = [1 / end for end in reversed(ends)]
    return Text(
        f"\n{_times(gain['median'])} ({figures(ends[0])}-{figures(ends[1])})", gain_style(gain)
    )


def _times(gain: float) -> str:
    return f"{figures(gain)}x less" if gain >= 1 else f"{figures(1 / gain)}x more"


def _agreement(difference: float | None) -> str:
    if difference is None:
        return "outputs not compared"
    return f"outputs differ by {difference:.1g} of the largest" if difference else "same outputs"


def _comparison_notes(comparison: Document) -> list[str]:
    first, *others = comparison["candidates"]
    notes = []
    for other in others:
        notes.append(
            f"{other['name']}: latency: {other['speed_verdict']}; energy: "
            f"{other['energy_verdict']}; {_agreement(other['max_relative_difference'])}."
        )
    if others:
        notes.append(
            f"Times less or more than {first['name']}, with 95 % intervals over "
            f"{comparison['rounds']} turns."
        )
    else:
        notes.append(f"Medians over {comparison['rounds']} turns.")
    notes.append(f"Energy is {first['energy']['method']}.")
    unmeasured = {
        f"Peak memory of {candidate['name']} {candidate['peak_memory']['method']}."
        for candidate in comparison["candidates"]
        if candidate["peak_memory"]["bytes"] is None
    }
    notes += sorted(unmeasured)
    notes += comparison["notes"]
    machine = comparison["environment"]
    threads = sorted({c["threads"] for c in comparison["candidates"] if c["threads"]})
    used = f"; threads: {', '.join(map(str, threads))}" if threads else ""
    notes.append(f"{machine['processor']}; cores: {machine['cores']}{used}.")
    return notes


def _known_count(number: int | None) -> str:
    return "-" if number is None else count(number)
