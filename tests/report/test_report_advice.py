"""The table of `gossamer advise`, from made-up figures."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gossamer.report.advice import print_advice


def candidate(name: str, gain: float | None) -> dict[str, Any]:
    interval = gain and {"median": gain, "low": gain - 0.25, "high": gain + 0.25}
    return {
        "name": name,
        "file_bytes": 12_300_000,
        "latency_ms": {"median": 8.5},
        "energy": {"joules": {"median": 0.05}, "kind": "estimated", "method": "estimated: thus"},
        "gains": gain and {"latency": interval},
    }


def printed() -> list[str]:
    advice = {
        "verdict": "From a sparsity of 0.9 on this model is faster.",
        "prunable_weights": 10_600_000,
        "rounds": 24,
        "environment": {"processor": "a processor", "cores": 2},
        "candidates": [candidate("dense, ONNX Runtime", None), candidate("90 % sparse", 1.75)],
    }
    stream = io.StringIO()
    print_advice(advice, Console(file=stream, width=80))
    return stream.getvalue().splitlines()


def test_each_model_is_one_line_with_its_gain_and_interval() -> None:
    lines = [" ".join(line.split()) for line in printed()]
    assert "90 % sparse 8.50 ms 1.75 (1.50-2.00) 50.0 mJ 12.3 MB" in lines


def test_the_verdict_and_the_method_stand_below() -> None:
    text = " ".join(" ".join(printed()).split())
    assert "From a sparsity of 0.9 on this model is faster." in text
    assert "10.6 M weights" in text
    assert "Energy is estimated: thus." in text
