"""What sparsifying did, for the terminal: layers, the trials of a search, sparsity and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.quantities import count, percent, quantity, size
from gossamer.report.layers import groups_of
from gossamer.report.tables import new_table, print_parts

Document = Mapping[str, Any]

# So many layers of a row are listed one by one.
_LISTED = 12
_FIGURES = {
    "energy": ("cpu_seconds", "CPU time"),
    "latency": ("latency_seconds", "latency"),
    "bytes": ("bytes", "file"),
    "sparsity": ("weights", "weights"),
}
_TIMED = ("energy", "latency")
_WHAT_REMAINS = {
    "energy": "estimated energy of the dense model",
    "latency": "latency of the dense model",
    "bytes": "bytes of the dense model",
    "sparsity": "weights of the pruned layers",
}


def print_sparsify(result: Document, console: Console | None = None) -> None:
    """Print what sparsifying did.

    Args:
        result: `SparsifyResult.to_dict()`.
        console: where to; standard output by default.
    """
    parts: list[Table | str] = [_layers(result)]
    if result["trials"]:
        parts.append(_trials(result))
    print_parts(console, *parts, *_notes(result))


def _layers(result: Document) -> Table:
    groups = groups_of(result["layers"])
    each = [
        _each([result["layers"][at]["sparsity"] for at in at_all]) for at_all in groups.values()
    ]
    columns = ["shape", "weights", "zeros", "sparsity"]
    table = new_table("layer", *columns, *(["each, in order"] if any(each) else []))
    for (label, members), listed in zip(groups.items(), each, strict=True):
        layers = [result["layers"][index] for index in members]
        weights = sum(layer["weights"] for layer in layers)
        zeros = sum(layer["zeros"] for layer in layers)
        cells = [
            f"{layers[0]['rows']} x {layers[0]['columns']}",
            count(weights),
            count(zeros),
            percent(zeros / weights),
        ]
        name = layers[0]["name"] if len(layers) == 1 else label
        table.add_row(Text(name), *cells, *([listed] if any(each) else []))
    return table


def _each(sparsities: Sequence[float]) -> str:
    """Return the sparsities of a row's layers in percent, where they are not all alike."""
    whole = [f"{100 * sparsity:.0f}" for sparsity in sparsities]
    if len(set(whole)) == 1:
        return ""
    if len(whole) > _LISTED:
        return f"{100 * min(sparsities):.0f} to {100 * max(sparsities):.0f} %"
    return " ".join(whole)


def _trials(result: Document) -> Table:
    """Return the trials from dear to cheap; those that no other beats have a star."""
    figure, title = _FIGURES[result["objective"]]
    table = new_table(
        "cost", title, "sparsity", "score", "drop", "upper end", "within", "best", "time"
    )
    for trial in sorted(result["trials"], key=lambda trial: -trial["cost"]):
        interval = trial["interval"]
        table.add_row(
            percent(trial["cost"]),
            _amount(figure, trial["figures"][figure]),
            percent(trial["sparsity"]),
            f"{trial['score']:.4f}",
            f"{trial['drop']:+.4f}",
            f"{interval[1]:+.4f}" if interval else "-",
            "yes" if trial["accepted"] else "no",
            "*" if trial in result["frontier"] else "",
            f"{trial['seconds']:.1f} s",
        )
    return table


def _amount(figure: str, amount: float) -> str:
    if figure == "bytes":
        return size(round(amount))
    return count(round(amount)) if figure == "weights" else quantity(amount, "s")


def _notes(result: Document) -> list[str]:
    notes = [
        f"Sparsity {percent(result['sparsity'])} over {count(result['weights'])} prunable weights, "
        f"{percent(result['model_sparsity'])} over the whole model's "
        f"{count(result['model_weights'])}; {result['solver']}, {result['pattern']}, "
        f"{result['allocation']}, {result['seconds']:.1f} s."
    ]
    if result["cost"] is not None:
        notes.append(
            f"{percent(result['cost'])} of the {_WHAT_REMAINS[result['objective']]} remains"
            f"{', as measured here layer by layer' if result['objective'] in _TIMED else ''}; "
            "gossamer compare measures the whole."
        )
    given = Counter(one["pattern"] or "dense" for one in result["plan"].values())
    if len(given) > 1:
        notes.append(f"Layers: {', '.join(f'{name} {number}' for name, number in given.items())}.")
    if result["trials"]:
        notes.append(
            "Cost is the share of the dense model's that remains; a star marks what no other trial "
            "beats."
        )
    final = "final_" if result["final_score"] is not None else ""
    if result[f"{final}score"] is not None:
        interval = result[f"{final}drop_interval"]
        within = f" ({interval[0]:+.4f} to {interval[1]:+.4f})" if interval else ""
        notes.append(
            f"Score {result[f'{final}dense_score']:.4f} dense, {result[f'{final}score']:.4f} "
            f"sparse: drop {result[f'{final}drop']:+.4f}{within}, measured on "
            f"{result['drop_measured_on']}."
        )
    return notes + list(result["notes"])
