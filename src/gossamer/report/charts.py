"""The charts of the HTML report, as Vega-Lite specifications made with Altair.

Text and lines take the page's own colour, so that they can be read on light and on dark ground.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from gossamer.report.layers import shortened

Document = Mapping[str, Any]

# Colours that differ for people who cannot tell red from green too, on light and on dark ground:
# M. Okabe and K. Ito, Color Universal Design (2008).
BLUE, ORANGE, GREY = "#2f8fd0", "#e08214", "#8a8f98"
LAYERS_AT_MOST = 60


def bars(candidates: Sequence[Document], figure: str, title: str) -> Document:
    """Return a bar for each candidate with its 95 % interval.

    Args:
        candidates: of a comparison, as dictionaries.
        figure: "latency_ms" or "energy".
        title: of the axis, unit and all.
    """
    rows = []
    for candidate in candidates:
        interval, scale = _interval(candidate, figure)
        if interval is not None:
            ends = {end: scale * interval[end] for end in ("median", "low", "high")}
            rows.append({"name": candidate["name"], "ours": _kind(candidate["name"]), **ends})
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        tooltip=[
            alt.Tooltip("name:N", title="model"),
            alt.Tooltip("median:Q", title=title, format=".4g"),
            alt.Tooltip("low:Q", title="95 % from", format=".4g"),
            alt.Tooltip("high:Q", title="to", format=".4g"),
        ],
    )
    bar = base.mark_bar(height={"band": 0.62}, cornerRadiusEnd=3).encode(
        x=alt.X("median:Q", title=title, axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "ours:N",
            scale=alt.Scale(domain=["sparse", "dense", "rival"], range=[ORANGE, BLUE, GREY]),
            legend=None,
        ),
    )
    error = base.mark_rule(strokeWidth=2, color="currentColor").encode(x="low:Q", x2="high:Q")
    return _finished(alt.layer(bar, error), height=max(90, 38 * len(rows)))


def frontier(sparsified: Document) -> Document:
    """Return cost against score of every trial of a search, those that no other beats joined.

    Args:
        sparsified: `SparsifyResult.to_dict()` with trials.
    """
    best = [trial["cost"] for trial in sparsified["frontier"]]
    rows = [
        {
            "cost": 100 * trial["cost"],
            "score": trial["score"],
            "sparsity": 100 * trial["sparsity"],
            "drop": trial["drop"],
            "upper": trial["interval"][1] if trial["interval"] else None,
            "kept": "within the bound" if trial["accepted"] else "beyond it",
            "best": trial["cost"] in best,
        }
        for trial in sparsified["trials"]
    ]
    rows.append(
        {"cost": 100.0, "score": sparsified["dense_score"], "sparsity": 0.0, "drop": 0.0}
        | {"upper": None, "kept": "dense", "best": False}
    )
    what = f"{sparsified['objective']} of the dense model, %"
    kinds = ["within the bound", "beyond it", "dense"]
    scale = alt.Scale(zero=False, padding=12)
    x = alt.X("cost:Q", title=what, scale=scale, axis=alt.Axis(tickCount=6))
    y = alt.Y("score:Q", title="score", scale=scale, axis=alt.Axis(tickCount=5, format=".4~f"))
    base = alt.Chart(alt.Data(values=rows))
    line = base.transform_filter("datum.best").mark_line(color=GREY, strokeDash=[4, 3]).encode(x, y)
    points = base.mark_point(size=110, filled=True, opacity=1).encode(
        x,
        y,
        color=alt.Color(
            "kept:N",
            scale=alt.Scale(domain=kinds, range=[BLUE, ORANGE, GREY]),
            legend=alt.Legend(title=None, orient="bottom"),
        ),
        shape=alt.Shape(
            "kept:N",
            scale=alt.Scale(domain=kinds, range=["circle", "cross", "diamond"]),
        ),
        tooltip=[
            alt.Tooltip("cost:Q", title=what, format=".1f"),
            alt.Tooltip("sparsity:Q", title="sparsity, %", format=".1f"),
            alt.Tooltip("score:Q", format=".4f"),
            alt.Tooltip("drop:Q", format="+.4f"),
            alt.Tooltip("upper:Q", title="drop's upper end", format="+.4f"),
            alt.Tooltip("kept:N", title="bound"),
        ],
    )
    bound = alt.Data(values=[{"score": sparsified["dense_score"]}])
    rule = (
        alt.Chart(bound)
        .mark_rule(strokeDash=[2, 2], color="currentColor")
        .encode(y="score:Q", tooltip=[alt.Tooltip("score:Q", title="dense", format=".4f")])
    )
    return _finished(alt.layer(rule, line, points), height=260)


def layers(document: Document) -> Document:
    """Return each layer's time, dense and sparse, with its sparsity in its label.

    Args:
        document: `Proof.to_dict()` with layers.
    """
    shown = document["layers"][:LAYERS_AT_MOST]
    shares = time_shares(document)
    names = [
        f"{100 * layer['sparsity']:.0f} %  {name}"
        for name, layer in zip(shortened([one["name"] for one in shown]), shown, strict=True)
    ]
    rows = [
        {
            "layer": name,
            "model": model,
            "time": 1e6 * layer[f"{model}_seconds"],
            "share": 100 * share[at],
            "sparsity": 100 * layer["sparsity"],
        }
        for name, layer, share in zip(names, shown, shares[:LAYERS_AT_MOST], strict=True)
        for at, model in enumerate(("dense", "sparse"))
        if layer[f"{model}_seconds"] is not None
    ]
    order = alt.Y("layer:N", sort=names, title=None, axis=alt.Axis(labelLimit=180))
    time = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            order,
            x=alt.X("time:Q", title="µs an inference", axis=alt.Axis(tickCount=5)),
            yOffset=alt.YOffset("model:N", sort=["dense", "sparse"]),
            color=alt.Color(
                "model:N",
                scale=alt.Scale(domain=["dense", "sparse"], range=[BLUE, ORANGE]),
                legend=alt.Legend(title=None, orient="bottom", columns=1),
            ),
            tooltip=[
                "layer:N",
                "model:N",
                alt.Tooltip("time:Q", title="microseconds", format=".3g"),
                alt.Tooltip("share:Q", title="of the model's time, %", format=".1f"),
                alt.Tooltip("sparsity:Q", title="sparsity of the sparse one, %", format=".1f"),
            ],
        )
    )
    return _finished(time, height={"step": 11})


def time_shares(document: Document) -> list[tuple[float, float]]:
    """Return each layer's share of the time of the dense and of the sparse model, 0 to 1.

    Args:
        document: `Proof.to_dict()` with layers.
    """
    whole = []
    for at, model in enumerate(("dense", "sparse")):
        known = [layer[f"{model}_seconds"] or 0.0 for layer in document["layers"]]
        whole.append(max(sum(known) + document["rest"][at], 1e-12))
    return [
        ((layer["dense_seconds"] or 0.0) / whole[0], (layer["sparse_seconds"] or 0.0) / whole[1])
        for layer in document["layers"]
    ]


def _finished(chart: Any, *, height: Any) -> Document:
    """Return the specification: as wide as its place, and in the page's own letters."""
    fitted = alt.AutoSizeParams(type="fit-x", contains="padding")
    made = chart.properties(width="container", height=height, autosize=fitted).configure(
        background="transparent", font="system-ui, sans-serif"
    )
    made = made.configure_view(stroke=None).configure_axis(
        domain=False, ticks=False, labelFontSize=12, titleFontSize=12, titleFontWeight="normal"
    )
    made = made.configure_legend(labelFontSize=12)
    found: Document = made.to_dict()
    return found


def _interval(candidate: Document, figure: str) -> tuple[Document | None, float]:
    if figure == "energy":
        return candidate["energy"]["joules"], 1e3
    return candidate[figure], 1.0


def _kind(name: str) -> str:
    if name.startswith("sparse"):
        return "sparse"
    return "dense" if name.startswith("dense, ") else "rival"
