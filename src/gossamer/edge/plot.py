"""Pictures of a study: power against target, who serves whom, and how the method got there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gossamer.extras import needed_for
from gossamer.folders import check_folder, write_folder
from gossamer.formats.result_file import RESULT_FILE, write_json

Document = Mapping[str, Any]

# Okabe and Ito's palette, which colour-blind people tell apart, with a mark and a dash for each.
_STYLES: Mapping[str, tuple[str, str, Any]] = {
    "refined": ("#D55E00", "o", "-"),
    "log-sum with transmit": ("#E69F00", "s", (0, (5, 1.5))),
    "log-sum": ("#CC79A7", "^", (0, (3, 1.5))),
    "mixed l1,2": ("#0072B2", "v", (0, (1, 1))),
    "reweighted l2": ("#56B4E9", "D", (0, (5, 1, 1, 1))),
    "everywhere": ("#000000", "x", "-"),
    "strongest": ("#009E73", "P", "-"),
    "exhaustive": ("#7F7F7F", "*", (0, (1, 2))),
}
# They take so much more than the rest that the differences of these would be lost beside them.
_SIMPLE = ("everywhere", "strongest")
_USERS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Inches from which on four names stand side by side.
_WIDE = 7
# What every result has, and nothing but a result: a sparse model's folder has a result.json too.
_POWER = "power.png"
_PNG = {"dpi": 160, "bbox_inches": "tight", "facecolor": "white"}


def check_pictures(folder: Path) -> None:
    """Check, before the work, that pictures can be drawn and written to `folder`.

    Raises:
        OptionError: if matplotlib is not installed.
        OutputError: if the folder holds something other than an earlier result, or cannot be
            written.
    """
    with needed_for("drawing pictures"):
        import matplotlib  # noqa: F401
    check_folder(folder, mark=_POWER)


def write_pictures(study: Document, folder: Path) -> None:
    """Write power.png, map.png, convergence.png and result.json, all or none of them.

    Args:
        study: `Study.to_dict()`. Without a realisation in which the users' own targets are met
            there is no map and no convergence.
        folder: new, or that of an earlier result.

    Raises:
        OptionError, OutputError: as `check_pictures`.
    """
    check_pictures(folder)
    figures = {_POWER: power_figure(study)}
    if study["example"] is not None:
        figures["map.png"] = map_figure(study)
        figures["convergence.png"] = convergence_figure(study)

    def write(inside: Path) -> None:
        for name, figure in figures.items():
            figure.savefig(inside / name, **_PNG)
        write_json(inside / RESULT_FILE, study)

    write_folder(folder, write, mark=_POWER)


def power_figure(study: Document) -> Any:
    """Return the power of each method against the SINR target, one column of panels a model.

    Above, total power: medians over the realisations in which the target can be met, with 95 %
    intervals. Where a method meets a target in fewer of these than others, it has no point. Below,
    what the methods that place with care take more than the best one: means, draw by draw. The
    methods stand side by side at each target, so that intervals can be told apart.
    """
    points = sorted(
        (point for point in study["points"] if len(set(point["sinr_target_db"])) == 1),
        key=lambda point: point["sinr_target_db"][0],
    )
    targets = [point["sinr_target_db"][0] for point in points]
    figure, axes = _panels(study["models"], width=4.8, heights=(3.0, 2.0))
    best, *others = study["methods"]
    gaps = [right - left for left, right in itertools.pairwise(targets)]
    aside = 0.55 * min(gaps, default=1.0) / len(study["methods"])
    for column, model in enumerate(study["models"]):
        upper, lower = axes[0][column], axes[1][column]
        for place, method in enumerate(study["methods"]):
            shift = aside * (place - (len(study["methods"]) - 1) / 2)
            rows = [row for point in points for row in _of(point, method) if row["model"] == model]
            x = [target + shift for target in targets]
            missed = not all(row["total_w"] for point in points for row in _of(point, method))
            label = f"{method} (misses some)" if missed else method
            _intervals(upper, x, [row["total_w"] for row in rows], "median", 1.0, method, label)
            if method in others and method not in _SIMPLE:
                _intervals(lower, x, [row["excess"] for row in rows], "mean", 100.0, method, label)
        upper.set_title(_model_title(study, model))
        upper.set_ylim(bottom=0)
        lower.axhline(0, color=_STYLES[best][0], linewidth=2.4)
        lower.set_xlabel("SINR target (dB)")
        for axis in (upper, lower):
            axis.set_xticks(targets)
    axes[0][0].set_ylabel("total power (W)")
    axes[1][0].set_ylabel(f"more than {best} (%)")
    _legend(figure, *axes[0])
    return figure


def _of(point: Document, method: str) -> list[Document]:
    """Return a method's rows at a target, one for each model."""
    return [row for row in point["rows"] if row["method"] == method]


def _intervals(
    axis: Any,
    x: Sequence[float],
    intervals: Sequence[Document | None],
    middle: str,
    unit: float,
    method: str,
    label: str,
) -> None:
    """Draw a method's points with their intervals, where it has some."""
    colour, mark, dash = _STYLES[method]
    known = [(place, one) for place, one in zip(x, intervals, strict=True) if one]
    values = [unit * one[middle] for _, one in known]
    axis.errorbar(
        [place for place, _ in known],
        values,
        yerr=[
            [value - unit * one["low"] for value, (_, one) in zip(values, known, strict=True)],
            [unit * one["high"] - value for value, (_, one) in zip(values, known, strict=True)],
        ],
        color=colour,
        marker=mark,
        markersize=4.5,
        linestyle=dash,
        linewidth=1.2,
        elinewidth=1.0,
        label=label,
    )


def map_figure(study: Document) -> Any:
    """Return where access points and users stand, and who serves whom, one panel a model."""
    example = study["example"]
    side = study["scenario"]["channel"]["square_m"]
    stations, users = example["access_points_m"], example["users_m"]
    figure, (axes,) = _panels(study["models"], width=4.6, heights=(4.8,))
    for axis, model in zip(axes, study["models"], strict=True):
        placed = example["placements"][model][study["methods"][0]]
        served = [sum(row) for row in placed["support"]]
        for n, row in enumerate(placed["support"]):
            for k, runs in enumerate(row):
                if runs:
                    axis.plot(
                        *zip(stations[n], users[k], strict=True),
                        color=_USERS[k % len(_USERS)],
                        linewidth=2.2,
                        alpha=0.75,
                        zorder=1,
                        solid_capstyle="round",
                    )
        for n, (x, y) in enumerate(stations):
            idle = not served[n]
            axis.scatter(
                x,
                y,
                s=260,
                marker="s",
                color="white" if idle else "#333333",
                edgecolors="#333333",
                zorder=2,
            )
            colour = "#333333" if idle else "white"
            axis.text(x, y, str(n + 1), color=colour, ha="center", va="center", fontsize=9)
        for k, (x, y) in enumerate(users):
            colour = _USERS[k % len(_USERS)]
            axis.scatter(x, y, s=200, color=colour, edgecolors="white", linewidths=1.2, zorder=3)
            label = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 4}
            axis.text(x, y, str(k + 1), color="white", fontweight="bold", **label)
        axis.set_aspect("equal")
        axis.set_xlim(-0.04 * side, 1.04 * side)
        axis.set_ylim(-0.04 * side, 1.04 * side)
        axis.set_xlabel("m")
        tasks = "tasks run" if placed["placed"] > 1 else "task runs"
        axis.set_title(
            f"{_model_title(study, model)}\n{placed['placed']} {tasks}, {placed['total_w']:.2f} W"
        )
    figure.text(
        0.5,
        -0.01,
        "squares: access points (white: no task runs there); circles: users; "
        "a line: this access point runs this user's task",
        ha="center",
        va="top",
        fontsize=8.5,
        color="#555555",
    )
    return figure


def convergence_figure(study: Document) -> Any:
    """Return, for the first model, the objective of stage 1 by step and the scan of stage 3."""
    model = study["models"][0]
    placements = study["example"]["placements"][model]
    figure, ((left, right),) = _panels(("stage 1", "stage 3"), 4.6, (3.8,), share=False)
    for method in study["methods"]:
        placed = placements[method]
        if placed is None:
            continue
        colour, mark, dash = _STYLES[method]
        style = {"color": colour, "marker": mark, "linestyle": dash, "markersize": 4}
        history, scan = placed["history"], placed["scan"]
        # What the others minimise is another quantity in other units: shown by its first value.
        if len(history) > 1 and method != study["methods"][0]:
            left.plot([value / history[0] for value in history], label=method, **style)
        if scan and method != study["methods"][0]:
            right.plot(*zip(*scan, strict=True), label=method, **style)
    best = placements[study["methods"][0]]
    colour = _STYLES[study["methods"][0]][0]
    right.scatter(
        best["placed"],
        best["total_w"],
        s=120,
        facecolors="none",
        edgecolors=colour,
        linewidths=2,
        zorder=4,
        label=study["methods"][0],
    )
    left.set_xlabel("step")
    left.set_ylabel("objective, by its first value")
    left.set_title("Stage 1: the relaxed problem")
    right.set_xlabel("tasks that run")
    right.set_ylabel("total power (W)")
    right.set_title("Stage 3: dropping tasks in order")
    right.invert_xaxis()
    _legend(figure, right, left)
    return figure


def _panels(
    names: Sequence[str], width: float, heights: Sequence[float], share: bool = True
) -> tuple[Any, Any]:
    """Return a figure and its panels by row and name, without frames that say nothing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * len(names), sum(heights) + 0.8), layout="constrained")
    axes = figure.subplots(
        len(heights),
        len(names),
        sharex="col" if share else "none",
        sharey="row" if share else "none",
        squeeze=False,
        height_ratios=heights,
    )
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color="#DDDDDD", linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, axes


def _legend(figure: Any, *axes: Any) -> None:
    """Put one legend below all panels, each label once."""
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=4 if figure.get_figwidth() > _WIDE else 2,
        frameon=False,
    )


def _model_title(study: Document, model: str) -> str:
    joules = study["joules"].get(model)
    return model if joules is None else f"{model} model, {joules['median']:.3g} J an inference"
