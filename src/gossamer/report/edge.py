"""The tables of `gossamer edge`: what each method takes, and what the sparse model saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossamer.energy.statistics import LEAST_ROUNDS
from gossamer.quantities import percent, quantity
from gossamer.report.tables import new_table, print_parts

Document = Mapping[str, Any]


def print_edge(study: Document, console: Console | None = None) -> None:
    """Print the methods at the users' own targets, the saving at each target, and notes.

    Args:
        study: `Study.to_dict()`.
        console: where to; standard output by default.
    """
    own = study["points"][0]
    parts: list[Table | str] = []
    if own["feasible"]:
        parts += [_methods(study, own, model) for model in study["models"]]
    if len(study["models"]) > 1:
        parts.append(_savings(study))
    parts += notes(study)
    print_parts(console, *parts)


def target(point: Document) -> str:
    """Return a point's SINR target in words: one figure, or the range of the users' own."""
    targets = point["sinr_target_db"]
    low, high = min(targets), max(targets)
    return f"{low:g} dB" if low == high else f"{low:g} to {high:g} dB"


def headline(study: Document) -> str:
    """Return what it comes to at the users' own targets, in one sentence."""
    own = study["points"][0]
    if not own["feasible"]:
        return f"At {target(own)} no realisation meets every user's target."
    saving = own["saving"]
    if saving is None:
        best = own["rows"][0]
        return (
            f"At {target(own)} the edge system takes {_watts(best['total_w'])}: "
            f"{quantity(best['compute_w'], 'W')} for computing and "
            f"{quantity(best['transmit_w'], 'W')} for sending."
        )
    watts, fraction = saving["watts"], saving["fraction"]
    return (
        f"With the sparse model the whole edge system saves {_watts(watts)} at {target(own)}, "
        f"{percent(fraction['median'])} ({percent(fraction['low'])} to "
        f"{percent(fraction['high'])}) of its power."
    )


def notes(study: Document) -> list[str]:
    """Return the headline, how it was made, and what could not be met."""
    found = [headline(study)]
    for model, joules in study["joules"].items():
        found.append(
            f"An inference of the {model} model: {quantity(joules['median'], 'J')} "
            f"({quantity(joules['low'], 'J')} to {quantity(joules['high'], 'J')}), "
            f"{joules['method']}."
        )
    found.append(
        f"Medians over {study['realisations']} realisations with 95 % intervals; computing power "
        "is joules per inference x inferences a second, sending is simulated."
    )
    if min(point["feasible"] for point in study["points"]) < LEAST_ROUNDS:
        found.append(
            f"Over fewer than {LEAST_ROUNDS} realisations no interval of a median holds with 95 %: "
            "take more with --realisations."
        )
    for point in study["points"]:
        missed = study["realisations"] - point["feasible"]
        if missed:
            common = sorted(point["largest_common_sinr_db"])[missed // 2]
            found.append(
                f"{target(point)} cannot be met in {missed} of {study['realisations']} "
                f"realisations, where all users alike could have {common:.1f} dB (median)."
            )
    if study["undecided"]:
        found.append(
            f"{study['undecided']} realisations are left out: no solver could decide them."
        )
    return found


def _methods(study: Document, point: Document, model: str) -> Table:
    title = target(point) if len(study["models"]) == 1 else f"{model}, {target(point)}"
    table = new_table(title, "total", "95 % interval", "computing", "sending", "placed", "met")
    for row in point["rows"]:
        if row["model"] != model:
            continue
        met = f"{row['met']}/{point['feasible']}"
        if row["total_w"] is None:
            table.add_row(Text(row["method"]), "-", "-", "-", "-", "-", met)
            continue
        table.add_row(
            Text(row["method"]),
            quantity(row["total_w"]["median"], "W"),
            _range(row["total_w"]),
            quantity(row["compute_w"], "W"),
            quantity(row["transmit_w"], "W"),
            f"{row['placed']:g}",
            met,
        )
    return table


def _savings(study: Document) -> Table:
    table = new_table("SINR target", *study["models"], "saved", "95 % interval", "of the power")
    for point in sorted(study["points"], key=lambda one: sum(one["sinr_target_db"])):
        if point["saving"] is None:
            table.add_row(Text(target(point)), *["-"] * (len(study["models"]) + 3))
            continue
        best = [_row(point["rows"], model)["total_w"]["median"] for model in study["models"]]
        table.add_row(
            Text(target(point)),
            *(quantity(watts, "W") for watts in best),
            quantity(point["saving"]["watts"]["median"], "W"),
            _range(point["saving"]["watts"]),
            percent(point["saving"]["fraction"]["median"]),
        )
    return table


def _row(rows: Sequence[Document], model: str) -> Document:
    """Return the row of a model's best method, which comes first."""
    return next(row for row in rows if row["model"] == model)


def _watts(interval: Document) -> str:
    return f"{quantity(interval['median'], 'W')} ({_range(interval)})"


def _range(interval: Document) -> str:
    return f"{quantity(interval['low'], 'W')} to {quantity(interval['high'], 'W')}"
