"""What the demo prints, from made-up figures."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gossamer.report.demo import print_demo


def candidate(name: str, ms: float, gain: float | None, verdict: str | None) -> dict[str, Any]:
    interval = {"median": gain, "low": gain and 0.9 * gain, "high": gain and 1.1 * gain}
    return {
        "name": name,
        "threads": 2,
        "file_bytes": 90_000_000,
        "latency_ms": {"median": ms},
        "energy": {
            "joules": {"median": 0.1},
            "kind": "estimated",
            "method": "estimated: busy CPU seconds x 5 W per core",
        },
        "gains": gain and {"latency": interval},
        "speed_verdict": verdict,
        "energy_verdict": verdict,
    }


def printed(final_drop: float = 0.005) -> str:
    demo = {
        "parts": {"calibration": 10, "probe": 20, "search": 40, "final": 70},
        "difference": 3.2e-7,
        "seconds": 181.4,
        "sparsified": {
            "sparsity": 0.61,
            "model_sparsity": 0.29,
            "layers": [{"sparsity": 0.5 + index / 100} for index in range(36)],
            "final_dense_score": 0.93,
            "final_score": 0.925,
            "final_drop": final_drop,
            "final_drop_interval": [-0.004, 0.013],
            "max_drop": 0.02,
            "trials": [{}] * 7,
        },
        "proof": {
            "rounds": 55,
            "scores": {"dense": 0.93, "sparse": 0.92},
            "int8_scores": {"dense": 0.93, "sparse": 0.91},
            "notes": ["int8, ONNX Runtime takes less energy still."],
            "payback": {"says": "Sparsifying took 1 Wh."},
            "environment": {"processor": "a processor"},
            "candidates": [
                candidate("dense, ONNX Runtime", 20.0, None, None),
                candidate("int8, ONNX Runtime", 8.0, 2.5, "faster"),
                candidate("dense, Gossamer", 21.0, 0.95, "no gain"),
                candidate("sparse, Gossamer", 10.0, 2.0, "2.00 times faster (1.80 to 2.20)"),
            ],
        },
    }
    stream = io.StringIO()
    print_demo(demo, "gossamer-demo", Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return " ".join(stream.getvalue().split())


def test_accuracy_says_on_what_and_how_sure() -> None:
    assert (
        "93.0 % dense, 92.5 % sparse, on 70 documents that the search never saw: a drop of 0.5 "
        "points (95 % interval -0.4 to 1.3)"
    ) in printed()


def test_sparsity_is_given_over_the_layers_and_over_the_model() -> None:
    assert (
        "61.0 % of the weights of 36 linear layers (50 to 85 % each), 29.0 % of the whole model"
    ) in printed()


def test_the_bound_is_said_to_be_on_the_interval_s_upper_end() -> None:
    assert (
        "at most 2.0 points at the upper end of the interval, on 40 other documents; 7 models tried"
    ) in printed()


def test_energy_says_that_it_is_estimated_and_how() -> None:
    text = printed()
    assert "(estimated)" in text
    assert "busy CPU seconds x 5 W per core" in text


def test_what_the_proof_notes_is_said_and_what_sparsifying_took() -> None:
    text = printed()
    assert "int8, ONNX Runtime takes less energy still." in text
    assert "Sparsifying took 1 Wh." in text
    assert "The report to look at: gossamer-demo/report.html" in text


def test_each_model_has_its_accuracy() -> None:
    text = printed()
    assert "90.0 MB 93.0 %" in text
    assert "90.0 MB 91.0 %" in text
    assert "90.0 MB 92.0 %" in text


def test_the_verdict_is_the_comparison_s() -> None:
    assert "the sparse model is: 2.00 times faster (1.80 to 2.20); energy:" in printed()


def test_a_drop_beyond_what_was_allowed_is_said() -> None:
    assert "larger than was allowed" in printed(final_drop=0.025)
    assert "larger than was allowed" not in printed()
