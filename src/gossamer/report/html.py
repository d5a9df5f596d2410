"""The HTML report: one file that opens anywhere, offline, and says what was found and how."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gossamer.errors import OptionError, OutputError
from gossamer.files import atomic_path, is_folder
from gossamer.quantities import count, figures, percent, quantity, size

Document = Mapping[str, Any]

# What a comparison without a dense and a sparse model does not have.
_UNKNOWN = dict.fromkeys(
    ("payback", "grid", "price_per_kwh", "scores", "int8_scores", "spinning_seconds")
)
_PACKAGES = {"altair": "altair", "jinja2": "jinja2", "vl_convert": "vl-convert-python"}


@dataclass(frozen=True)
class Card:
    """One figure to see at a glance.

    Attributes:
        title: what it is of.
        value: the figure.
        detail: what it was, and what it is now.
        tone: "good", "bad" or "plain": whether it speaks for the sparse model.
    """

    title: str
    value: str
    detail: str
    tone: str = "plain"


@dataclass(frozen=True)
class Chart:
    """A chart with its title, its specification, and what it shows in words.

    Attributes:
        name: of its element.
        title: above it.
        spec: for Vega-Lite.
        caption: below it.
        words: for those who cannot see it.
    """

    name: str
    title: str
    spec: Document
    caption: str
    words: str


def check_report(path: Path) -> None:
    """Check that a report can be written, before the work that it is to show.

    Raises:
        OptionError: if packages are missing; the message names them and the extra.
        OutputError: if the path is a folder or cannot be written.
    """
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        raise OptionError(
            f"a report needs {', '.join(missing)}; install with: pip install 'gossamer[report]'"
        )
    if is_folder(path):
        raise OutputError(f"{path} is a folder; give the name of a file in it")
    parent = path.absolute().parent
    if not is_folder(parent):
        raise OutputError(f"{parent} does not exist; make it, or choose another place")
    # The folder must be writable: the file is written beside and then renamed.
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{parent} cannot be written; choose a place that can be")


def write_report(document: Document, path: Path) -> None:
    """Write the report of a comparison.

    Args:
        document: `Proof.to_dict()`, or `Comparison.to_dict()` of any candidates, the last of which
            is compared with the first.
        path: of the file; one that is there is replaced.

    Raises:
        OptionError: if packages are missing.
        OutputError: if the file cannot be written.
    """
    check_report(path)
    text = render(document)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(document: Document) -> str:
    """Return the report as one HTML page; see `write_report`."""
    import jinja2
    import vl_convert

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    for name, function in {
        "count": count,
        "figures": figures,
        "percent": percent,
        "quantity": quantity,
        "size": size,
    }.items():
        environment.filters[name] = function
    folder = resources.files(__package__)
    template = environment.from_string(folder.joinpath("report.html.j2").read_text("utf-8"))
    charts = _charts(document)
    sparsified = document.get("sparsified") or {}
    return template.render(
        document={**_UNKNOWN, **document},
        headline=headline(document),
        cards=cards(document),
        notes=[*document["notes"], *sparsified.get("notes", [])],
        charts=charts,
        shares=_shares(document),
        style=_raw(folder.joinpath("report.css").read_text("utf-8")),
        script=_raw(folder.joinpath("report.js").read_text("utf-8")),
        # Its type says that it needs a snippet; by default it defines vegaEmbed.
        library=_raw(vl_convert.javascript_bundle()),  # type: ignore[call-arg]
        specs=_json({chart.name: chart.spec for chart in charts}),
        data=_json(document),
    )


def headline(document: Document) -> tuple[str, str]:
    """Return the verdict on energy in one sentence, and what is to be known beside it."""
    first, last = document["candidates"][0], document["candidates"][-1]
    if last["gains"] is None:
        return f"{last['name']}, measured", "Nothing was measured beside it."
    gain, kind = last["gains"]["energy"], last["energy"]["kind"]
    verdict = last["energy_verdict"]
    names = _name(last), _name(first)
    ends = f"95 % interval {figures(gain['low'])} to {figures(gain['high'])} times"
    speed = f"latency: {last['speed_verdict']}"
    if verdict == "no gain":
        return (
            f"No gain: {names[0]} takes as much {kind} energy as {names[1]}.",
            f"{ends}; {speed}.",
        )
    if verdict == "not significant":
        return (
            f"Not significant: whether {names[0]} takes less {kind} energy than {names[1]} cannot "
            "be told.",
            f"{ends}; {speed}.",
        )
    times, word = gain["median"], "less"
    if times < 1:
        times, word = 1 / times, "more"
    return (
        f"{_capital(names[0])} takes {figures(times)} times {word} {kind} energy than {names[1]}.",
        f"{ends} less, over {document['rounds']} turns; {speed}.",
    )


def cards(document: Document) -> list[Card]:
    """Return the figures to see at a glance: energy, latency, memory, file, accuracy."""
    first, last = document["candidates"][0], document["candidates"][-1]
    gains = last["gains"]
    if gains is None:
        return []
    found = [
        _gain_card(
            "Energy",
            gains["energy"],
            last["energy_verdict"],
            f"{_of(first['energy']['joules'], 'J')} to {_of(last['energy']['joules'], 'J')}, "
            f"{last['energy']['kind']}",
        ),
        _gain_card(
            "Latency",
            gains["latency"],
            last["speed_verdict"],
            f"{_of(first['latency_ms'], 's', 1e-3)} to {_of(last['latency_ms'], 's', 1e-3)}",
        ),
    ]
    for title, ratio, before, after, missing in (
        (
            "Memory",
            gains["peak_memory_bytes"],
            first["peak_memory"]["bytes"],
            last["peak_memory"]["bytes"],
            last["peak_memory"]["method"].removeprefix("not measured: "),
        ),
        ("File", gains["file_bytes"], first["file_bytes"], last["file_bytes"], "no file"),
    ):
        if ratio is None:
            found.append(Card(title, "not measured", missing))
        else:
            tone = "good" if ratio > 1.02 else "bad" if ratio < 1 / 1.02 else "plain"
            words = _less(ratio) if tone != "plain" else "no difference"
            found.append(Card(title, words, f"{size(before)} to {size(after)}", tone))
    return [*found, _accuracy(document)]


def _gain_card(title: str, gain: Document, verdict: str, detail: str) -> Card:
    """Return a card in the words and the tone of the verdict."""
    if verdict in ("no gain", "not significant"):
        return Card(title, verdict, detail)
    return Card(title, _less(gain["median"]), detail, "good" if gain["median"] > 1 else "bad")


def _less(times: float) -> str:
    return f"{figures(times)}x less" if times >= 1 else f"{figures(1 / times)}x more"


def _of(interval: Document | None, unit: str, scale: float = 1.0) -> str:
    return "-" if interval is None else quantity(scale * interval["median"], unit)


def _accuracy(document: Document) -> Card:
    scores = document.get("scores")
    told = document.get("sparsified") or {}
    if scores is None and told.get("final_score") is not None:
        scores = {
            "dense": told["final_dense_score"],
            "sparse": told["final_score"],
            "drop": told["final_drop"],
            "interval": told["final_drop_interval"],
        }
    if scores is None:
        return Card("Accuracy", "not measured", "no evaluation was given")
    interval = scores["interval"]
    detail = f"{scores['dense']:.4g} to {scores['sparse']:.4g}"
    tone = "plain"
    if interval:
        low, high = (round(-end, 4) + 0.0 for end in reversed(interval))
        detail += f"; 95 % interval {low:+.4g} to {high:+.4g}"
        tone = "bad" if interval[0] > 0 else "good" if interval[1] < 0 else "plain"
    change = round(-scores["drop"], 4)
    return Card("Accuracy", f"{change:+.4g}" if change else "no change", detail, tone)


def _charts(document: Document) -> list[Chart]:
    from gossamer.report import charts

    candidates = document["candidates"]
    kind = candidates[0]["energy"]["kind"]
    found = []
    if candidates[0]["energy"]["joules"] is not None:
        title = f"mJ an inference ({kind})"
        caption = f"Energy, {kind}, of one inference: the median and its 95 % interval."
        spec = charts.bars(candidates, "energy", title)
        words = caption + _listed(candidates, "energy")
        found.append(Chart("energy", "Energy", spec, caption, words))
    caption = "Latency of one inference: the median and its 95 % interval."
    spec = charts.bars(candidates, "latency_ms", "ms an inference")
    words = caption + _listed(candidates)
    found.append(Chart("latency", "Latency", spec, caption, words))
    told = document.get("sparsified") or {}
    if told.get("trials"):
        caption = (
            f"Every model that the search tried: {told['objective']} by score. Up and left is "
            "better; the dashed line joins those that no other beats, the dotted one is dense."
        )
        spec = charts.frontier(told)
        found.append(
            Chart("frontier", "What accuracy costs", spec, caption, caption + _trials(told))
        )
    if document.get("layers"):
        caption = (
            "The time of each layer in Gossamer, dense and sparse, beside its sparsity; hover for "
            "more."
        )
        if len(document["layers"]) > charts.LAYERS_AT_MOST:
            caption += f" The first {charts.LAYERS_AT_MOST}; the table below has all."
        spec = charts.layers(document)
        found.append(
            Chart(
                "layers", "Layer by layer", spec, caption, f"{caption} A table below says it too."
            )
        )
    return found


def _shares(document: Document) -> list[tuple[float, float]]:
    from gossamer.report.charts import time_shares

    return time_shares(document) if document.get("layers") else []


def _trials(told: Document) -> str:
    """Return the trials in words."""
    each = [
        f"at {percent(trial['cost'])} a score of {trial['score']:.4f}"
        f"{'' if trial['accepted'] else ', beyond the bound'}"
        for trial in sorted(told["trials"], key=lambda trial: -float(trial["cost"]))
    ]
    return f" Dense {told['dense_score']:.4f}; {'; '.join(each)}."


def _listed(candidates: Sequence[Document], figure: str = "latency") -> str:
    """Return what a chart of bars shows, in words for those who cannot see it."""
    told = []
    for candidate in candidates:
        if figure == "energy":
            joules = candidate["energy"]["joules"]
            told.append(f"{candidate['name']} {quantity(joules['median'], 'J') if joules else '-'}")
        else:
            milliseconds = candidate["latency_ms"]["median"]
            told.append(f"{candidate['name']} {quantity(milliseconds / 1000, 's')}")
    return f" {'; '.join(told)}."


def _name(candidate: Document) -> str:
    """Return what a sentence calls a candidate."""
    name: str = candidate["name"]
    for kind in ("dense", "sparse"):
        if name.startswith(f"{kind}, "):
            return f"the {kind} model in {name.partition(', ')[2]}"
    return name


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _raw(text: str) -> Any:
    """Return text that goes into a style or script element as it is, and cannot end it."""
    from markupsafe import Markup

    return Markup(text.replace("</script", "<\\/script").replace("</style", "<\\/style"))


def _json(document: Any) -> Any:
    """Return JSON for a script element; what would end it or begin a comment is escaped."""
    from markupsafe import Markup

    return Markup(json.dumps(document, allow_nan=False).replace("<", "\\u003c"))
