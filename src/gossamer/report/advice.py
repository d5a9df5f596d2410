"""The tables of `gossamer advise`: the whole model, and its layers one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.quantities import count, quantity, size
from gossamer.report.layers import groups_of, shortened
from gossamer.report.speed import times_faster
from gossamer.report.tables import new_table, print_parts

Document = Mapping[str, Any]

# Busy processes per core from which on times are not to be trusted.
_BUSY = 0.75


def print_advice(advice: Document, console: Console | None = None) -> None:
    """Print what each sparsity and pattern would save, and the verdict.

    Args:
        advice: `Advice.to_dict()`.
        console: where to; standard output by default.
    """
    table = new_table("one inference", "latency", "times faster", "CPU time", "memory", "file")
    table.columns[2].justify = "left"
    for candidate in (advice["reference"], advice["dense"], *advice["sparse"]):
        table.add_row(
            Text(candidate["name"]),
            quantity(candidate["latency_ms"]["median"] / 1000, "s"),
            _faster(candidate),
            quantity(candidate["cpu_seconds"]["median"], "s"),
            size(candidate["peak_memory"]["resident"]),
            size(candidate["file_bytes"]),
        )
    groups = groups_of(advice["layers"])
    patterns = dict.fromkeys(one["pattern"] for one in advice["sparse"])
    tables = [table, *(_layer_table(advice, groups, pattern) for pattern in patterns)]
    print_parts(console, *tables, advice["verdict"], *_notes(advice, groups))


def _faster(candidate: Document) -> Text:
    cell = times_faster(candidate)
    return cell if candidate.get("pays", True) else cell.append("  no gain", "dim")


def _layer_table(advice: Document, groups: Mapping[str, Sequence[int]], pattern: str) -> Table:
    """Return the seconds of each layer; equal layers of repeated blocks in one row."""
    columns = [index for index, one in enumerate(advice["sparse"]) if one["pattern"] == pattern]
    titles = [f"{100 * advice['sparse'][index]['sparsity']:g} %" for index in columns]
    table = new_table(f"time of layers, {pattern}", "dense", *titles)
    for label, members in groups.items():
        layers = [advice["layers"][index] for index in members]
        dense = _sum([layer["dense_seconds"] for layer in layers])
        sparse = [_sum([layer["sparse_seconds"][index] for layer in layers]) for index in columns]
        left = all(layer["leave_dense"] for layer in layers)
        table.add_row(
            Text(label),
            _seconds(dense),
            *(Text(_seconds(seconds), "dim" if left else "") for seconds in sparse),
        )
    rest = [advice["sparse"][index]["rest_seconds"] for index in columns]
    table.add_row(
        "everything else", *(_seconds(s) for s in (advice["dense"]["rest_seconds"], *rest))
    )
    return table


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [number for number in seconds if number is not None]
    return sum(known) if len(known) == len(seconds) else None


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else quantity(seconds, "s")


def _notes(advice: Document, groups: Mapping[str, Sequence[int]]) -> list[str]:
    layers = advice["layers"]
    names = shortened([layer["name"] for layer in layers])
    left: list[str] = []
    for label, members in groups.items():
        dense = [names[index] for index in members if layers[index]["leave_dense"]]
        left += [label] if len(dense) == len(members) else dense
    machine = advice["environment"]
    notes = []
    if (machine["load_average"] or 0.0) > _BUSY * machine["cores"]:
        notes.append(
            f"The machine was busy when this began (load {machine['load_average']:.1f} on "
            f"{machine['cores']} cores): advise again when it is quiet, as this may be wrong."
        )
    if advice["sparse"]:
        if left:
            notes.append(f"Leave dense, as no sparsity here makes them faster: {', '.join(left)}.")
        if len(groups) < len(layers):
            notes.append(
                "A row with (n) adds up n layers of one shape; names lack the parts that all share."
            )
        if any(layer["dense_seconds"] is None for layer in layers):
            notes.append(
                "Layers without a time are left to ONNX Runtime, which skips no zeros; gossamer "
                "explain says why."
            )
        notes.append(
            f"Sparsity is over the {count(advice['prunable_weights'])} weights that sparsify "
            "prunes by default. Whether the accuracy survives it, sparsify --evaluate finds out."
        )
    notes += [
        "Times faster is against dense in ONNX Runtime, with 95 % intervals over "
        f"{advice['rounds']} turns or more. No gain: not faster than both dense models.",
        "Memory is what a process holds that has loaded the file and run it once.",
        f"For {_shapes(advice['inputs'])} on {machine['processor']}, "
        f"{advice['dense']['threads']} of {machine['cores']} cores.",
    ]
    return notes


def _shapes(inputs: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items())
