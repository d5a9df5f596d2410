"""The tables made from the lines of `runtime.py`: what was measured, and beside what was aimed at.

Ratios say how many times more the other engine takes than Gossamer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]
Work: TypeAlias = tuple[str, float, str, int]
"""Model, sparsity, pattern and batch."""

NAMES = {
    "resnet50": "ResNet-50",
    "mobilenet-v2": "MobileNetV2",
    "bert-base": "BERT-base, 128 tokens",
    "minilm": "MiniLM, 128 tokens",
    "vit-b16": "ViT-B/16, 197 tokens",
}
RIVALS = {
    "onnxruntime": "ONNX Runtime",
    "deepsparse": "DeepSparse",
    "openvino-int8": "OpenVINO int8",
    "openvino-bf16": "OpenVINO bf16",
}
MEGABYTE = 1e6


@dataclass(frozen=True)
class Target:
    """What was aimed at before anything was built: so many times faster than a rival."""

    rival: str
    least: float
    aim: float | None = None


TARGETS: dict[Work, list[Target]] = {
    ("resnet50", 0.9, "unstructured", 1): [
        Target("onnxruntime", 4.5, 5),
        Target("deepsparse", 1.8, 2),
        Target("openvino-int8", 1.4, 1.5),
    ],
    ("resnet50", 0.9, "unstructured", 16): [
        Target("onnxruntime", 5),
        Target("deepsparse", 1.1, 1.3),
    ],
    ("bert-base", 0.9, "unstructured", 1): [
        Target("onnxruntime", 6, 7),
        Target("deepsparse", 1.6, 2),
        Target("openvino-int8", 2.1, 2.5),
    ],
    ("bert-base", 0.8, "unstructured", 1): [
        Target("onnxruntime", 3.5),
        Target("deepsparse", 1.6),
        Target("openvino-int8", 1.2),
    ],
    ("mobilenet-v2", 0.8, "unstructured", 1): [
        Target("onnxruntime", 1.5, 2),
        Target("deepsparse", 1.3, 1.7),
    ],
    ("resnet50", 0.8, "block:4x1", 1): [
        Target("onnxruntime", 4),
        Target("openvino-int8", 1.2),
    ],
    ("vit-b16", 0.9, "unstructured", 1): [
        Target("onnxruntime", 4, 5),
        Target("deepsparse", 2),
    ],
}

# Resident memory at most so many times ONNX Runtime's, and seconds to compile, cold and warm.
MEMORY: dict[Work, float] = {
    ("bert-base", 0.9, "unstructured", 1): 0.5,
    ("resnet50", 0.9, "unstructured", 1): 1.0,
}
COMPILE: dict[Work, tuple[float, float]] = {("resnet50", 0.9, "unstructured", 1): (30.0, 2.0)}


def write(lines: list[dict[str, Any]]) -> list[str]:
    """All tables, and below them what they were measured with."""
    works: dict[Work, dict[str, Line]] = {}
    for line in lines:
        if line["kind"] == "engine":
            work = (line["model"], line["sparsity"], line["pattern"], line["batch"])
            works.setdefault(work, {})[line["engine"]] = line
    works = {work: engines for work, engines in works.items() if "gossamer" in engines}
    return [
        *_results(works),
        "",
        *_environment(works),
        "",
        *_targets(works),
        "",
        *_doubts([line for engines in works.values() for line in engines.values()]),
    ]


def _results(works: Mapping[Work, Mapping[str, Line]]) -> list[str]:
    columns = ["work", "Gossamer ms", *(f"to {name}" for name in RIVALS.values())]
    columns += ["CPU seconds, to ONNX Runtime", "resident MB (ONNX Runtime)", "cold peak MB"]
    rows = [_row(columns), _row(["---"] * len(columns))]
    for work, engines in works.items():
        ours, ort = engines["gossamer"], engines.get("onnxruntime")
        cells = [_name(work), _interval(ours["seconds"], 1e3)]
        cells += [_gain(ours, rival, "seconds") for rival in RIVALS]
        cells.append(_gain(ours, "onnxruntime", "cpu_seconds"))
        theirs = "" if ort is None else f" ({ort['resident_bytes'] / MEGABYTE:.0f})"
        cells.append(f"{ours['resident_bytes'] / MEGABYTE:.0f}{theirs}")
        cells.append(f"{ours['cold']['peak_bytes'] / MEGABYTE:.0f}")
        rows.append(_row(cells))
    return rows


def _targets(works: Mapping[Work, Mapping[str, Line]]) -> list[str]:
    rows = [_row(["work", "to", "target", "aim", "reached", ""]), _row(["---"] * 6)]
    for work, engines in works.items():
        ours = engines["gossamer"]
        for target in TARGETS.get(work, []):
            gain = ours["times_faster_than"].get(target.rival)
            aim = "" if target.aim is None else f"{target.aim:g}"
            verdict = "not measured"
            if gain is not None:
                verdict = "reached" if gain["seconds"]["median"] >= target.least else "**missed**"
            reached = _gain(ours, target.rival, "seconds")
            rows.append(
                _row(
                    [_name(work), RIVALS[target.rival], f"{target.least:g}", aim, reached, verdict]
                )
            )
        rows += [_row([_name(work), *cells]) for cells in _limits(work, engines)]
    return rows


def _limits(work: Work, engines: Mapping[str, Line]) -> Iterator[list[str]]:
    """What should be no more than so much."""

    def cells(what: str, limit: float, found: float, unit: str) -> list[str]:
        verdict = "reached" if found <= limit else "**missed**"
        return [what, f"at most {limit:g}{unit}", "", f"{found:.2g}{unit}", verdict]

    ours = engines["gossamer"]
    if work in MEMORY and "onnxruntime" in engines:
        found = ours["resident_bytes"] / engines["onnxruntime"]["resident_bytes"]
        yield cells("ONNX Runtime, resident memory", MEMORY[work], found, "")
    if work in COMPILE:
        cold, warm = COMPILE[work]
        yield cells("compile, cold", cold, ours["cold"]["compile_seconds"], " s")
        yield cells("compile, from the cache", warm, ours["compile_seconds"], " s")


def _environment(works: Mapping[Work, Mapping[str, Line]]) -> list[str]:
    """Processor, threads and versions, once for each that differs."""
    found: dict[str, None] = {}
    for engines in works.values():
        ours = engines["gossamer"]
        described = ours["environment"]
        versions = {line["engine"].split("-")[0]: line["version"] for line in engines.values()}
        named = ", ".join(f"{name} {version.split('-')[0]}" for name, version in versions.items())
        found[
            f"{described['processor']}, {ours['threads']} threads, {described['platform']}, "
            f"Python {described['versions']['python']}, {named}. Medians of "
            f"{ours['rounds']} rounds in turn, each engine in a process of its own; 95 % intervals."
        ] = None
    return list(found)


def _doubts(lines: list[Line]) -> list[str]:
    """What was not quiet, which makes a figure worth less."""
    loud = [line for line in lines if max(line["others_cpu"], line["idle_cpu"]) > 0.05]
    if not loud:
        return ["No other program took more than a twentieth of a core while any was measured."]
    names = ", ".join(sorted({f"{NAMES[line['model']]} in {line['engine']}" for line in loud}))
    return [f"The machine was not quiet: other programs ran beside {names}."]


def _name(work: Work) -> str:
    model, sparsity, pattern, batch = work
    kind = "" if pattern == "unstructured" else f" {pattern}"
    return f"{NAMES[model]}, {100 * sparsity:.0f} %{kind}, batch {batch}"


def _gain(ours: Line, rival: str, key: str) -> str:
    found = ours["times_faster_than"].get(rival)
    return "" if found is None else _interval(found[key], 1)


def _interval(interval: Mapping[str, float], scale: float) -> str:
    low, median, high = (f"{interval[key] * scale:.2f}" for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
