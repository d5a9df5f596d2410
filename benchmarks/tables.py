"""Turn the lines of benchmarks into the Markdown tables of the documentation.

python benchmarks/tables.py minilm.jsonl
python benchmarks/tables.py runtime.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import runtime_table


def main(files: Sequence[str]) -> None:
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    is_runtime = any(line["kind"] == "engine" for line in lines)
    print("\n".join(runtime_table.write(lines) if is_runtime else table(lines)))


def table(lines: list[dict[str, Any]]) -> list[str]:
    """The rows: each candidate in the order in which it was measured, and the rivals' defaults."""
    rows = [
        "| MiniLM, one text of 128 tokens | median ms | times faster | estimated energy |",
        "| --- | --- | --- | --- |",
    ]
    for line in lines:
        if line["kind"] != "inference":
            continue
        gains, energy = line["gains"], line["energy"]
        faster = "1" if gains is None else interval(gains["latency"])
        millijoules = f"{1000 * energy['joules']['median']:.0f} mJ"
        median = f"{line['latency_ms']['median']:.1f}"
        rows.append(f"| {line['name']} | {median} | {faster} | {millijoules} |")
    environment = next(line for line in lines if line["kind"] == "environment")
    spinning = ", ".join(
        f"{line['model']} {line['latency_ms']:.1f} ms"
        for line in lines
        if line["kind"] == "spinning"
    )
    versions = environment["versions"]
    rows += [
        "",
        f"{environment['processor']}, {environment['threads']} threads, ONNX Runtime "
        f"{versions['onnxruntime']}. Measured in turn; 95 % intervals. Its threads do not spin "
        f"between runs here; as they do by default, in a process of its own: {spinning}.",
    ]
    return rows


def interval(gain: dict[str, float]) -> str:
    return f"{gain['median']:.2f} ({gain['low']:.2f} to {gain['high']:.2f})"


if __name__ == "__main__":
    main(sys.argv[1:])
