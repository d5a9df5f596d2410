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
    print_meters,
    print_proof,
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
    rounds=31,
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
    rounds=31,
    ran_by=None,
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


@pytest.mark.parametrize("terminal", [True, False])
def test_a_comparison_has_a_row_for_each_candidate_with_ratios_to_the_first(
    terminal: bool,
) -> None:
    text = flat(shown(print_comparison, COMPARISON.to_dict(), terminal=terminal))
    assert "estimated one inference latency times faster energy times less" in text
    assert "dense, ONNX Runtime 12.3 ms 1 123 mJ 1" in text
    assert "sparse, Gossamer 5.33 ms 2.31 (2.25-2.40) 123 mJ 2.20 (2.10-2.30)" in text
    assert "callable 5.33 ms 0.500 (0.400-0.800)" in text
    assert "sparse, Gossamer 24.6 ms 81.2 181 MB 90.9 MB 80.0 MB 3e-02" in text
    assert "callable 24.6 ms 81.2 - - -" in text


def test_it_fits_into_eighty_columns() -> None:
    assert max(map(len, shown(print_comparison, COMPARISON.to_dict()).splitlines())) <= 80


def test_a_comparison_says_in_words_what_it_found_and_how() -> None:
    text = flat(shown(print_comparison, replace(COMPARISON, candidates=(DENSE, SPARSE)).to_dict()))
    assert (
        "sparse, Gossamer: latency: 2.31 times faster (2.25 to 2.40); energy: 2.20 times less "
        "estimated energy (2.10 to 2.30)." in text
    )
    text = flat(shown(print_comparison, COMPARISON.to_dict()))
    assert "callable: latency: 2.00 times slower (1.25 to 2.50); energy: not significant." in text
    assert "95 % intervals over 31 turns" in text
    assert "Energy is estimated: busy CPU seconds x 5 W per core." in text
    assert "Peak memory of callable not measured: no file to load in a fresh process." in text
    assert "A Processor; cores: 2; threads: 2." in text


def test_what_other_meters_say_stands_beside() -> None:
    measured = Energy("RAPL", "measured", "measured: by RAPL", Interval(0.2, 0.19, 0.21), rounds=31)
    gain = Interval(2.2, 2.1, 2.3)
    dense = replace(DENSE, energies=(measured, ENERGY))
    sparse = replace(SPARSE, energies=(replace(measured, gain=gain), replace(ENERGY, gain=gain)))
    text = flat(shown(print_comparison, replace(COMPARISON, candidates=(dense, sparse)).to_dict()))
    assert "measured one inference" in text
    assert "Energy is measured: by RAPL." in text
    assert (
        "By CPU time (estimated) sparse, Gossamer takes 123 mJ: 2.20 times less (2.10-2.30)."
        in text
    )


def test_a_comparison_admits_noise_and_outputs_that_could_not_be_compared() -> None:
    noisy = replace(
        COMPARISON,
        notes=("The machine was not quiet.",),
        candidates=(DENSE, replace(SPARSE, max_relative_difference=None)),
    )
    text = flat(shown(print_comparison, noisy.to_dict()))
    assert "The machine was not quiet." in text
    assert "80.0 MB - " in text


def test_equal_outputs_are_told() -> None:
    same = replace(COMPARISON, candidates=(DENSE, replace(SPARSE, max_relative_difference=0.0)))
    assert "80.0 MB nothing" in flat(shown(print_comparison, same.to_dict()))


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
    "notes": ["The pruned layers hold 46.9 % of the model's weights."],
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
    assert "The pruned layers hold 46.9 % of the model's weights." in flat(text)


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


PROOF: dict[str, Any] = {
    **COMPARISON.to_dict(),
    "contents": {
        "dense": {"weights": 1_000_000, "nonzeros": 1_000_000},
        "sparse": {
            "nonzeros": 200_000,
            "sparsity": 0.9,
            "model_sparsity": 0.8,
            "multiply_adds": 5_000_000,
            "nonzero_multiply_adds": 500_000,
        },
    },
    "scores": {"dense": 0.9, "sparse": 0.88, "drop": 0.02, "interval": [0.01, 0.03]},
    "int8_scores": {"dense": 0.9, "sparse": 0.89, "drop": 0.01, "interval": None},
    "payback": {"says": "Sparsifying took 1 Wh (measured); it is repaid after 3 600 inferences."},
    "spinning_seconds": 0.0115,
    "grid": {"grams_per_kwh": 381.0, "source": "Germany"},
    "price_per_kwh": 0.3,
}
for _one in PROOF["candidates"]:
    _one["per_million"] = {"kwh": 0.5, "grams": 190.5, "cost": 0.15}


def test_a_proof_says_what_the_models_hold_and_what_it_means() -> None:
    text = flat(shown(print_proof, PROOF))
    assert "Of 1.00 M weights 200 k are not zero in the sparse model: sparsity 90.0 %" in text
    assert "Multiply-adds by weights: 5.00 M, of which 500 k by what is not zero." in text
    assert "Score: dense 0.9000, sparse 0.8800, drop +0.0200, 95 % interval +0.0100 to" in text
    assert "int8 0.8900, drop +0.0100; one number gives no interval." in text
    assert "repaid after 3 600 inferences" in text
    assert "in a process of its own, dense takes 11.5 ms." in text
    assert "A million inferences: 190 g of CO2 dense, 190 g sparse (381 g/kWh: Germany)" in text
    assert "electricity for 0.15 dense, 0.15 sparse (at 0.3 a kWh)." in text


def test_what_is_not_known_of_a_proof_is_left_out() -> None:
    bare = PROOF | {
        "scores": None,
        "int8_scores": None,
        "payback": None,
        "spinning_seconds": None,
        "grid": None,
        "price_per_kwh": None,
    }
    text = flat(shown(print_proof, bare))
    assert "Score" not in text
    assert "A million" not in text


def test_meters_are_listed_with_what_would_make_them_work() -> None:
    meters = {
        "processor": "A Processor",
        "meters": [
            {
                "name": "RAPL",
                "works": False,
                "used": False,
                "says": "may not be read; allow it",
                "idle_watts": None,
            },
            {
                "name": "CPU time",
                "works": True,
                "used": True,
                "says": "estimated: so",
                "idle_watts": 1.25,
            },
        ],
    }
    text = flat(shown(print_meters, meters))
    assert "RAPL no may not be read; allow it" in text
    assert "CPU time yes estimated: so" in text
    assert "CPU time shows 1.25 W while nothing runs." in text
    assert "A Processor. gossamer compare goes by CPU time." in text
