"""Tables for the terminal, in eighty columns; plain text where the output is no terminal.

Each takes what `to_dict()` gives, so that a table can be made again from a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.quantities import count, figures, percent, quantity, size
from gossamer.report.speed import times
from gossamer.report.tables import new_table, print_parts

Document = Mapping[str, Any]


def print_comparison(comparison: Document, console: Console | None = None) -> None:
    """Print a comparison: a row for each candidate, and what it means in words.

    Args:
        comparison: `Comparison.to_dict()`.
        console: where to; standard output by default.
    """
    candidates = comparison["candidates"]
    print_parts(
        console,
        _speed_table(candidates),
        _size_table(candidates),
        *_comparison_notes(comparison),
    )


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
    tables = [table] if inspection["layers"] else []
    print_parts(console, *tables, summary, *([work] if shapes else []), *inspection["notes"])


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


def _speed_table(candidates: Sequence[Document]) -> Table:
    kind = candidates[0]["energy"]["kind"]
    table = new_table("one inference", "latency", "times faster", f"{kind}\nenergy", "times less")
    table.columns[0].no_wrap = True
    for candidate in candidates:
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["latency_ms"]["median"] / 1000, "s"),
            times(candidate, "latency"),
            _joules(candidate["energy"]),
            times(candidate, "energy"),
        )
    return table


def _size_table(candidates: Sequence[Document]) -> Table:
    columns = ("CPU time", "a second", "peak\nmemory", "file", "com-\npressed", "differs\nby")
    table = new_table("", *columns)
    table.columns[0].no_wrap = True
    for candidate in candidates:
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["cpu_seconds"]["median"], "s"),
            figures(candidate["throughput"]["median"]),
            size(candidate["peak_memory"]["bytes"]),
            size(candidate["file_bytes"]),
            size(candidate["compressed_bytes"]),
            _difference(candidate),
        )
    return table


def _joules(energy: Document) -> str:
    return "-" if energy["joules"] is None else quantity(energy["joules"]["median"], "J")


def _difference(candidate: Document) -> str:
    difference = candidate["max_relative_difference"]
    if candidate["gains"] is None or difference is None:
        return "-"
    return f"{difference:.0e}" if difference else "nothing"


def _comparison_notes(comparison: Document) -> list[str]:
    first, *others = comparison["candidates"]
    notes = []
    if others:
        last = others[-1]
        notes += [
            f"{last['name']}: latency: {last['speed_verdict']}; energy: {last['energy_verdict']}.",
            f"Times are against {first['name']}, with 95 % intervals over {comparison['rounds']} "
            "turns; outputs differ by so much of the largest.",
        ]
    else:
        notes.append(f"Medians over {comparison['rounds']} turns.")
    notes += _energy_notes(comparison["candidates"])
    unmeasured = {
        f"Peak memory of {candidate['name']} {candidate['peak_memory']['method']}."
        for candidate in comparison["candidates"]
        if candidate["peak_memory"]["bytes"] is None
    }
    notes += [*sorted(unmeasured), *comparison["notes"]]
    machine = comparison["environment"]
    threads = sorted({c["threads"] for c in comparison["candidates"] if c["threads"]})
    used = f"; threads: {', '.join(map(str, threads))}" if threads else ""
    notes.append(f"{machine['processor']}; cores: {machine['cores']}{used}.")
    return notes


def _energy_notes(candidates: Sequence[Document]) -> list[str]:
    """Say how energy was found, and what the other meters say of the last candidate."""
    first, last = candidates[0], candidates[-1]
    notes = [f"Energy is {first['energy']['method']}."]
    for energy in last["energies"][1:]:
        if energy["joules"] is not None and energy["gain"] is not None:
            gain = energy["gain"]
            notes.append(
                f"By {energy['meter']} ({energy['kind']}) {last['name']} takes "
                f"{quantity(energy['joules']['median'], 'J')}: {figures(gain['median'])} times "
                f"less ({figures(gain['low'])}-{figures(gain['high'])})."
            )
    return notes


def print_proof(proof: Document, console: Console | None = None) -> None:
    """Print a comparison of a dense and a sparse model, and what follows from it.

    Args:
        proof: `Proof.to_dict()`.
        console: where to; standard output by default.
    """
    print_comparison(proof, console)
    print_parts(console, *_proof_notes(proof))


def _proof_notes(proof: Document) -> list[str]:
    dense, sparse = proof["contents"]["dense"], proof["contents"]["sparse"]
    notes = [
        f"Of {count(dense['weights'])} weights {count(sparse['nonzeros'])} are not zero in the "
        f"sparse model: sparsity {percent(sparse['sparsity'])} over the prunable layers, "
        f"{percent(sparse['model_sparsity'])} over the whole model."
    ]
    if sparse["multiply_adds"] and sparse["nonzero_multiply_adds"] is not None:
        notes[0] += (
            f" Multiply-adds by weights: {count(sparse['multiply_adds'])}, of which "
            f"{count(sparse['nonzero_multiply_adds'])} by what is not zero."
        )
    for name, scores in (("sparse", proof["scores"]), ("int8", proof["int8_scores"])):
        if scores:
            within = "; one number gives no interval"
            if scores["interval"]:
                low, high = scores["interval"]
                within = f", 95 % interval {low:+.4f} to {high:+.4f}"
            notes.append(
                f"Score: dense {scores['dense']:.4f}, {name} {scores['sparse']:.4f}, drop "
                f"{scores['drop']:+.4f}{within}."
            )
    if proof["payback"]:
        notes.append(proof["payback"]["says"])
    return notes + _million(proof) + _spinning(proof)


def _spinning(proof: Document) -> list[str]:
    if not proof["spinning_seconds"]:
        return []
    return [
        "ONNX Runtime's threads did not spin between runs; as they do by default, in a process of "
        f"its own, dense takes {quantity(proof['spinning_seconds'], 's')}."
    ]


def _million(proof: Document) -> list[str]:
    """Say what a million inferences take in carbon and money, if that was asked for."""
    ends = [proof["candidates"][0]["per_million"], proof["candidates"][-1]["per_million"]]
    parts = []
    if proof["grid"] and all(end["grams"] is not None for end in ends):
        parts.append(
            f"{quantity(ends[0]['grams'], 'g')} of CO2 dense, {quantity(ends[1]['grams'], 'g')} "
            f"sparse ({proof['grid']['grams_per_kwh']:g} g/kWh: {proof['grid']['source']})"
        )
    if proof["price_per_kwh"] is not None and all(end["cost"] is not None for end in ends):
        parts.append(
            f"electricity for {ends[0]['cost']:.3g} dense, {ends[1]['cost']:.3g} sparse (at "
            f"{proof['price_per_kwh']:g} a kWh)"
        )
    return [f"A million inferences: {'; '.join(parts)}."] if parts else []


def print_meters(meters: Document, console: Console | None = None) -> None:
    """Print what this machine can measure, and how to get more.

    Args:
        meters: `meters`, each with `name`, `works`, `says` and, where measured, `idle_watts`;
            `processor`.
        console: where to; standard output by default.
    """
    table = new_table("meter", "works", "how")
    table.columns[1].justify = table.columns[2].justify = "left"
    for meter in meters["meters"]:
        table.add_row(meter["name"], "yes" if meter["works"] else "no", Text(meter["says"]))
    idle = [
        f"{meter['name']} shows {meter['idle_watts']:.3g} W while nothing runs."
        for meter in meters["meters"]
        if meter["idle_watts"] is not None
    ]
    used = next(meter["name"] for meter in meters["meters"] if meter["works"] and meter["used"])
    print_parts(
        console,
        table,
        *idle,
        f"{meters['processor']}. gossamer compare goes by {used}.",
    )


def _known_count(number: int | None) -> str:
    return "-" if number is None else count(number)
