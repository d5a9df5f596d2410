"""Turn the lines of `accuracy.py` into the Markdown tables of docs/accuracy.md.

python benchmarks/accuracy_table.py minilm.jsonl smollm.jsonl
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from accuracy_statistics import interval, ratio_interval

Line: TypeAlias = Mapping[str, Any]
Setting: TypeAlias = tuple[str, float, int]
"""Pattern, sparsity and calibration tokens: what methods must share to be compared."""
Group: TypeAlias = dict[str, list[Line]]
"""The lines of a setting, one a seed, by method."""


@dataclass(frozen=True)
class Figure:
    """A column beside the loss."""

    title: str
    key: str
    digits: int
    scale: float = 1.0


@dataclass(frozen=True)
class TaskTable:
    """How a task is shown, and which share of the peers' loss was aimed at."""

    loss: str
    digits: int
    peers: Sequence[str]
    """The methods to beat, together: the one that loses least."""
    share: Mapping[tuple[str, float], float]
    figures: Sequence[Figure]


SPARSEGPT, WANDA = "llmcompressor-sparsegpt", "llmcompressor-wanda"
NAMES = {
    "torch-magnitude": "torch, magnitude a layer",
    "torch-global": "torch, magnitude over all",
    SPARSEGPT: "llm-compressor, SparseGPT",
    WANDA: "llm-compressor, Wanda",
}
TITLES = {"minilm": "MiniLM", "smollm": "SmolLM2-135M", "bert": "BERT-base"}
# Of other tasks only times are told.
TASKS = {
    "minilm": TaskTable(
        "1 - Spearman to dense",
        4,
        (SPARSEGPT, WANDA),
        {("unstructured", sparsity): 0.5 for sparsity in (0.6, 0.7, 0.8)},
        (
            Figure("topics right %", "probe_accuracy", 1, 100),
            Figure("people, Spearman", "human_spearman", 3),
            Figure("people, Pearson", "human_pearson", 3),
        ),
    ),
    "smollm": TaskTable(
        "rise of perplexity",
        2,
        (SPARSEGPT,),
        {("unstructured", 0.5): 0.8},
        (Figure("perplexity", "perplexity", 2),),
    ),
}
# Seconds that solving the whole model may take with 8,192 calibration tokens on two cores.
LIMITS = {
    ("minilm", "obs"): 10.0,
    ("minilm", "best"): 60.0,
    ("bert", "obs"): 60.0,
    ("smollm", "best"): 300.0,
}
LIMIT_TOKENS, LIMIT_THREADS = 8192, 2
# CPU seconds a second of other programs: more than this, and a time is not shown.
QUIET = 0.05


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    print("\n".join(write([json.loads(line) for text in texts for line in text.splitlines()])))


def write(lines: Sequence[Line]) -> list[str]:
    """All tables, a task after another, and below each what it was measured with."""
    measured = [line for line in lines if line["kind"] == "accuracy"]
    rows: list[str] = []
    for name in dict.fromkeys(line["task"] for line in measured):
        own = [line for line in measured if line["task"] == name]
        if name in TASKS:
            title, task = TITLES[name], TASKS[name]
            rows += [*_losses(title, task, own), "", *_targets(title, task, own), ""]
        rows += [*_times(name, own), "", *_environment(own), ""]
    return rows[:-1]


def _losses(title: str, task: TaskTable, lines: Sequence[Line]) -> list[str]:
    columns = ["sparsity", "method", task.loss, "95 %", "to the better peer"]
    rows = _head([title, *columns, *(figure.title for figure in task.figures)])
    dense = [line for line in lines if line["method"] == "dense"]
    if dense:
        rows.append(_row(["", "", "dense", "0", "", "", *_figures(task, dense)]))
    for (pattern, sparsity, tokens), group in _groups(lines).items():
        peer = _better(task, group)
        for method, seeds in group.items():
            cells = [pattern + _many(tokens), f"{100 * sparsity:g} %", _name(method)]
            cells += [_mean([line["loss"] for line in seeds], task.digits)]
            low, high = interval(_mean_replicates(seeds))
            cells += [f"{low:.{task.digits}f} to {high:.{task.digits}f}"]
            cells += [_ratio(seeds, group[peer]) if peer and method != peer else ""]
            rows.append(_row([*cells, *_figures(task, seeds)]))
    return rows


def _targets(title: str, task: TaskTable, lines: Sequence[Line]) -> list[str]:
    """The best of Gossamer's methods beside what was aimed at."""
    rows = _head([title, "best of Gossamer", "better peer", "at most", "reached", ""])
    for (pattern, sparsity, tokens), group in _groups(lines).items():
        share = task.share.get((pattern, sparsity))
        if share is None:
            continue
        ours = {name: seeds for name, seeds in group.items() if _is_ours(name)}
        peer = _better(task, group)
        setting = f"{100 * sparsity:g} %{_many(tokens)}"
        if not ours or peer is None:
            rows.append(_row([setting, "", "", f"{share:g}", "", "not measured"]))
            continue
        best = min(ours, key=lambda name: _loss(ours[name]))
        found = _loss(ours[best]) / _loss(group[peer])
        verdict = "reached" if found <= share else "**missed**"
        cells = [setting, best, _name(peer), f"{share:g}", _ratio(ours[best], group[peer])]
        rows.append(_row([*cells, verdict]))
    return rows


def _times(name: str, lines: Sequence[Line]) -> list[str]:
    """Seconds of a solve by method: the slowest of its settings, each the median of its seeds."""
    solved: dict[str, list[Line]] = {}
    for line in lines:
        if line["method"] != "dense" and line["others_cpu"] <= QUIET:
            solved.setdefault(line["method"], []).append(line)
    if not solved:
        return ["No times: other programs ran beside every solve."]
    columns = [f"solving all of {TITLES[name]}", "seconds", "CPU seconds", "peak MB", "at most", ""]
    rows = _head(columns)
    ours: Group = {}
    for line in lines:
        if name in TASKS and _is_ours(line["method"]):
            ours.setdefault(line["method"], []).append(line)
    best = min(ours, key=lambda method: _loss(ours[method]), default=None)
    for method, seeds in solved.items():
        slowest = max(_groups(seeds).values(), key=lambda group: _median(group[method], "seconds"))
        seconds = _median(slowest[method], "seconds")
        limit = LIMITS.get((name, method))
        if limit is None and method == best:
            limit = LIMITS.get((name, "best"))
        cells = [_name(method), f"{seconds:.1f}"]
        cells += [f"{_median(slowest[method], 'cpu_seconds'):.1f}"]
        cells += [f"{max(line['peak_bytes'] for line in seeds) / 1e6:.0f}"]
        line = slowest[method][0]
        fits = (line["calibration_tokens"], line["threads"]) == (LIMIT_TOKENS, LIMIT_THREADS)
        if limit is None or not fits:
            cells += ["", ""]
        else:
            cells += [f"{limit:g} s", "reached" if seconds <= limit else "**missed**"]
        rows.append(_row(cells))
    return rows


def _environment(lines: Sequence[Line]) -> list[str]:
    described = lines[0]["environment"]
    solved = [line for line in lines if line["method"] != "dense"]
    versions = {"gossamer": described["versions"]["gossamer"]}
    versions |= {
        package: described["versions"][package]
        for package in ("torch", "transformers")
        if package in described["versions"]
    }
    for line in solved:
        if line["method"].startswith("llmcompressor"):
            versions["llm-compressor"] = line["version"]
    named = ", ".join(f"{package} {version}" for package, version in versions.items())
    parts = [
        described["processor"],
        f"threads: {', '.join(map(str, sorted({line['threads'] for line in solved})))}",
        described["platform"],
        named,
    ]
    what = [f"calibration tokens: {', '.join(f'{n:,}' for n in _tokens(lines))}"]
    what.append(f"samples of them: {len({line['seed'] for line in solved})}")
    for key in ("documents", "pairs", "tokens"):
        if key in lines[0]:
            what.append(f"held-out {key}: {lines[0][key]:,}")
    text = f"{', '.join(parts)}. {'; '.join(what)}."
    if lines[0]["task"] in TASKS:
        text += (
            " Means over the samples with their standard deviation; 95 % intervals by bootstrap "
            "over the documents."
        )
    return [text]


def _tokens(lines: Sequence[Line]) -> list[int]:
    return sorted({line["calibration_tokens"] for line in lines})


def _groups(lines: Sequence[Line]) -> dict[Setting, Group]:
    found: dict[Setting, Group] = {}
    for line in lines:
        if line["method"] != "dense":
            setting = (line["pattern"], line["sparsity"], line["calibration_tokens"])
            found.setdefault(setting, {}).setdefault(line["method"], []).append(line)
    return dict(sorted(found.items(), key=lambda item: (item[0][0] != "unstructured", item[0])))


def _better(task: TaskTable, group: Group) -> str | None:
    """The peer that loses least."""
    present = [name for name in task.peers if name in group]
    return min(present, key=lambda name: _loss(group[name]), default=None)


def _is_ours(method: str) -> bool:
    return method not in NAMES and method != "dense"


def _loss(seeds: Sequence[Line]) -> float:
    return statistics.fmean(line["loss"] for line in seeds)


def _median(seeds: Sequence[Line], key: str) -> float:
    return statistics.median(line[key] for line in seeds)


def _mean_replicates(seeds: Sequence[Line]) -> list[float]:
    columns = zip(*(line["replicates"] for line in seeds), strict=True)
    return [statistics.fmean(column) for column in columns]


def _paired(ours: Sequence[Line], theirs: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The seeds that both have; all of both where one needs no calibration and has but one."""
    if min(len(ours), len(theirs)) == 1:
        return list(ours), list(theirs)
    shared = {line["seed"] for line in ours} & {line["seed"] for line in theirs}
    first, other = ([x for x in lines if x["seed"] in shared] for lines in (ours, theirs))
    return first, other


def _ratio(ours: Sequence[Line], theirs: Sequence[Line]) -> str:
    ours, theirs = _paired(ours, theirs)
    low, high = ratio_interval(
        [line["replicates"] for line in ours], [line["replicates"] for line in theirs]
    )
    return f"{_loss(ours) / _loss(theirs):.2f} ({low:.2f} to {high:.2f})"


def _figures(task: TaskTable, seeds: Sequence[Line]) -> list[str]:
    return [
        _mean([figure.scale * line[figure.key] for line in seeds], figure.digits)
        for figure in task.figures
    ]


def _mean(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _name(method: str) -> str:
    return NAMES.get(method, f"`{method}`")


def _many(tokens: int) -> str:
    return "" if tokens == LIMIT_TOKENS else f", {tokens:,} tokens"


def _head(columns: Sequence[str]) -> list[str]:
    return [_row(columns), _row(["---"] * len(columns))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(sys.argv[1:])
