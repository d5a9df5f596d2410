"""What the terminal shows, in eighty columns and as plain text elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from rich.console import Console

from gossamer.energy import CandidateResult, Comparison, Interval
from gossamer.energy.comparison import Energy, Gains
from gossamer.energy.memory import PeakMemory
from gossamer.energy.noise import Noise
from gossamer.report.terminal import (
    print_comparison,
    print_explanation,
    print_inspection,
)
from gossamer.runtime import Explanation


def shown(show: Callable[..., None], document: Any, *, terminal: bool = False) -> str:
    stream = io.StringIO()
    show(document, Console(file=stream, width=80, force_terminal=terminal, color_system=None))
    return stream.getvalue()


def flat(text: str) -> str:
    return " ".join(text.split())


ENERGY = Energy(
    "CPU time",
    "estimated",
    "estimated: busy CPU seconds x 5 W per core",
    Interval(0.123, 0.120, 0.125),
)
DENSE = CandidateResult(
    name="dense, ONNX Runtime",
    engine="onnxruntime",
    threads=2,
    file="model.onnx",
    file_bytes=90_868_376,
    compressed_bytes=80_000_000,
    latency_ms=Interval(12.31, 12.1, 12.6),
    throughput=Interval(81.2, 79.4, 82.6),
    cpu_seconds=Interval(0.0246, 0.024, 0.025),
    energies=(ENERGY,),
    peak_memory=PeakMemory(181_000_000, "VmHWM of a fresh process, one run"),
    max_relative_difference=None,
    gains=None,
)
SPARSE = replace(
    DENSE,
    name="sparse, Gossamer",
    latency_ms=Interval(5.33, 5.2, 5.4),
    max_relative_difference=0.031,
    gains=Gains(
        latency=Interval(2.31, 2.25, 2.4),
        cpu_seconds=Interval(2.2, 2.1, 2.3),
        energy=Interval(2.2, 2.1, 2.3),
        file_bytes=3.21,
        compressed_bytes=3.1,
        peak_memory_bytes=0.8,
    ),
)
CALLABLE = replace(
    SPARSE,
    name="callable",
    file_bytes=None,
    compressed_bytes=None,
    peak_memory=PeakMemory(None, "not measured: no file to load in a fresh process"),
    gains=Gains(
        latency=Interval(0.5, 0.4, 0.8),
        cpu_seconds=Interval(1.0, 0.9, 1.1),
        energy=Interval(1.0, 0.9, 1.1),
        file_bytes=None,
        compressed_bytes=None,
        peak_memory_bytes=None,
    ),
)
ENVIRONMENT = {"processor": "A Processor", "cores": 2, "platform": "Linux", "versions": {}}
QUIET = Noise(0.0, 0.0, 0.01, 0.0, 0.0)
COMPARISON = Comparison((DENSE, SPARSE, CALLABLE), 31, (4, 9, 2), 0, QUIET, (), (), ENVIRONMENT)


def row(text: str, label: str) -> str:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(label))
    return flat(" ".join(lines[start : start + 3]))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_comparison_has_a_column_for_each_candidate_and_a_ratio_to_the_first(
    terminal: bool,
) -> None:
    text = shown(print_comparison, COMPARISON.to_dict(), terminal=terminal)
    assert row(text, "latency").startswith("latency 12.3 ms 5.33 ms 5.33 ms")
    assert "2.31x less 2.00x more" in row(text, "latency")
    assert "(2.25-2.40) (1.25-2.50)" in row(text, "latency")
    assert row(text, "energy (estimated)").startswith("energy (estimated) 123 mJ 123 mJ")
    assert row(text, "file").startswith("file 90.9 MB 90.9 MB - 3.21x less")
    assert row(text, "peak memory").startswith("peak memory 181 MB 181 MB - 1.25x more")


def test_a_comparison_says_in_words_what_it_found_and_how() -> None:
    text = flat(shown(print_comparison, COMPARISON.to_dict()))
    assert (
        "sparse, Gossamer: latency: 2.31 times faster (2.25 to 2.40); energy: 2.20 times less "
        "estimated energy (2.10 to 2.30); outputs differ by 0.03 of the largest." in text
    )
    assert "callable: latency: 2.00 times slower (1.25 to 2.50); energy: not significant;" in text
    assert "95 % intervals over 31 turns." in text
    assert "Energy is estimated: busy CPU seconds x 5 W per core." in text
    assert "Peak memory of callable not measured: no file to load in a fresh process." in text
    assert "A Processor; cores: 2; threads: 2." in text
    assert "busy otherwise" not in text


def test_a_comparison_admits_noise_and_outputs_that_could_not_be_compared() -> None:
    noisy = replace(
        COMPARISON,
        notes=("The machine was not quiet.",),
        candidates=(DENSE, replace(SPARSE, max_relative_difference=None)),
    )
    text = flat(shown(print_comparison, noisy.to_dict()))
    assert "The machine was not quiet." in text
    assert "outputs not compared." in text


def test_equal_outputs_are_called_the_same() -> None:
    same = replace(COMPARISON, candidates=(DENSE, replace(SPARSE, max_relative_difference=0.0)))
    assert "; same outputs." in flat(shown(print_comparison, same.to_dict()))


def test_one_candidate_alone_has_no_ratios() -> None:
    text = shown(print_comparison, replace(COMPARISON, candidates=(DENSE,)).to_dict())
    assert "x less" not in text
    assert "Medians over 31 turns." in text


def test_a_table_can_be_made_again_from_json() -> None:
    document = json.loads(json.dumps(COMPARISON.to_dict()))
    assert shown(print_comparison, document) == shown(print_comparison, COMPARISON.to_dict())


INSPECTION: dict[str, Any] = {
    "weights": 22_713_216,
    "zeros": 0,
    "bytes": 90_852_864,
    "prunable_weights": 10_616_832,
    "sparsity": 0.0,
    "model_sparsity": 0.0,
    "multiply_adds": 18_874_368,
    "inputs": {"input_ids": [1, 128]},
    "layers": [
        {
            "name": "encoder.layer.0.attention.self.query",
            "operator": "MatMul",
            "rows": 384,
            "columns": 384,
            "zeros": 73_728,
            "multiply_adds": 18_874_368,
            "weights": 147_456,
            "bytes": 589_824,
        },
        {
            "name": "[bold]head[/bold]",
            "operator": "Gemm",
            "rows": 0,
            "columns": 384,
            "zeros": 0,
            "multiply_adds": None,
            "weights": 0,
            "bytes": 0,
        },
    ],
}


def test_an_inspection_lists_layers_and_sums() -> None:
    text = shown(print_inspection, INSPECTION)
    cells = ("MatMul", "384 x 384", "147 k", "50.0 %", "590 kB", "18.9 M")
    assert " ".join(cells) in flat(text)
    assert "2 layers with 10.6 M prunable weights, sparsity 0.0 %; whole model: 22.7 M" in flat(
        text
    )
    assert "18.9 M multiply-adds for input_ids [1, 128]." in flat(text)


def test_what_is_unknown_is_a_dash_and_names_are_taken_as_they_are() -> None:
    text = flat(shown(print_inspection, {**INSPECTION, "inputs": {}}))
    assert "[bold]head[/bold] Gemm 0 x 384 0 - 0 B -" in text
    assert "multiply-adds for" not in text


@pytest.mark.parametrize(
    ("show", "document"),
    [
        (print_comparison, COMPARISON.to_dict()),
        (print_inspection, INSPECTION),
    ],
)
def test_all_fits_eighty_columns_and_is_plain_where_there_is_no_terminal(
    show: Callable[..., None], document: Any
) -> None:
    plain, pretty = shown(show, document), shown(show, document, terminal=True)
    assert max(map(len, plain.splitlines())) <= 80
    assert max(map(len, pretty.splitlines())) <= 80
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in pretty
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" not in plain
    assert "\x1b" not in plain
    assert plain.isascii() or "\N{MICRO SIGN}" in plain


EXPLANATION = {
    "threads": 2,
    "inputs": {"x": [1, 64]},
    "nodes": [
        asdict(line)
        for line in (
            Explanation("/first", "Linear", "sparse linear", "", 0.9, 0.003, 0.3),
            Explanation("", "Add+Mul+Identity", "pointwise", "", None, 0.001, 0.1),
            Explanation("/flat", "Reshape", "view"),
            Explanation(
                "a", "Softmax", "ONNX Runtime", "no lowering for Softmax", None, 0.004, 0.4
            ),
            Explanation("b", "Elu", "ONNX Runtime", "no lowering for Elu"),
            Explanation("c", "CumSum", "ONNX Runtime", "no lowering for CumSum", None, 0.002, 0.2),
        )
    ],
}


@pytest.mark.parametrize("terminal", [True, False])
def test_each_step_has_a_line_with_its_kernel_time_and_share(terminal: bool) -> None:
    lines = [
        flat(line) for line in shown(print_explanation, EXPLANATION, terminal=terminal).split("\n")
    ]
    assert "/first Linear sparse linear 90.0 % 3.00 ms 30.0 %" in lines
    assert "Add and 2 more pointwise - 1.00 ms 10.0 %" in lines


def test_what_onnx_runtime_runs_as_one_is_one_line_and_the_reasons_are_told() -> None:
    text = shown(print_explanation, EXPLANATION)
    lines = [flat(line) for line in text.splitlines()]
    assert "a Softmax and 1 more ONNX Runtime - 4.00 ms 40.0 %" in lines
    assert "c CumSum ONNX Runtime - 2.00 ms 20.0 %" in lines
    assert "no lowering for Softmax; no lowering for Elu; no lowering for CumSum." in flat(text)


def test_the_kernels_times_are_summed_and_views_are_counted() -> None:
    text = flat(shown(print_explanation, EXPLANATION))
    assert "A run for x [1, 64] on 2 threads takes 10.0 ms." in text
    assert "By kernel: ONNX Runtime 60.0 % (2), sparse linear 30.0 % (1), pointwise 10.0 %" in text
    assert "Left out: 1 that only" in text and "/flat" not in text
