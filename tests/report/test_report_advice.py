"""The tables of `gossamer advise`, from made-up figures."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from gossamer.report.advice import print_advice


def candidate(name: str, gain: float | None, **more: Any) -> dict[str, Any]:
    interval = gain and {"median": gain, "low": gain - 0.25, "high": gain + 0.25}
    return {
        "name": name,
        "threads": 2,
        "file_bytes": 12_300_000,
        "latency_ms": {"median": 8.5},
        "cpu_seconds": {"median": 0.016},
        "peak_memory": {"bytes": 300_000_000, "resident": 123_000_000},
        "gains": gain and {"latency": interval},
        "rest_seconds": 0.0015,
        **more,
    }


def sparse(pattern: str, gain: float, pays: bool) -> dict[str, Any]:
    title = f"90 % {pattern}"
    return candidate(title, gain, pattern=pattern, sparsity=0.9, pays=pays)


def layer(name: str, dense: float | None, *times: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "rows": 64,
        "columns": 64,
        "leave_dense": False,
        "dense_seconds": dense,
        "sparse_seconds": list(times),
        **more,
    }


LAYERS = [
    layer("/net/block.0/in/MatMul", 0.004, 0.001, 0.0005),
    layer("/net/block.0/out/MatMul", 0.004, 0.004, 0.005, leave_dense=True),
    layer("/net/block.1/in/MatMul", 0.004, 0.001, 0.0005),
    layer("/net/block.1/out/MatMul", 0.004, 0.004, 0.005, leave_dense=True),
    layer("/net/block.1/wide/MatMul", None, None, None, rows=128, leave_dense=True),
]


def printed(layers: list[dict[str, Any]], *, load: float = 0.1) -> list[str]:
    advice = {
        "verdict": "Sparsity pays here from 90 % on.",
        "prunable_weights": 10_600_000,
        "rounds": 24,
        "inputs": {"x": [1, 64]},
        "environment": {"processor": "a processor", "cores": 4, "load_average": load},
        "reference": candidate("dense, ONNX Runtime", None),
        "dense": candidate("dense, Gossamer", 1.25),
        "sparse": [sparse("unstructured", 1.25, False), sparse("block:4x1", 2.75, True)],
        "layers": layers,
    }
    stream = io.StringIO()
    print_advice(advice, Console(file=stream, width=100))
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_each_model_is_one_line_with_its_gain_and_interval() -> None:
    lines = printed(LAYERS)
    assert "90 % block:4x1 8.50 ms 2.75 (2.50-3.00) 16.0 ms 123 MB 12.3 MB" in lines
    assert "dense, ONNX Runtime 8.50 ms 1 16.0 ms 123 MB 12.3 MB" in lines


def test_what_gains_nothing_is_told_in_words() -> None:
    (line,) = [line for line in printed(LAYERS) if line.startswith("90 % unstructured")]
    assert "1.25 (1.00-1.50) no gain" in line


def test_layers_that_differ_in_their_numbers_are_added_up_for_each_pattern() -> None:
    lines = printed(LAYERS)
    assert "time of layers, unstructured dense 90 %" in lines
    assert "block.*/in (2) 8.00 ms 2.00 ms" in lines, "unstructured"
    assert "block.*/in (2) 8.00 ms 1.00 ms" in lines, "block:4x1"
    assert lines.count("everything else 1.50 ms 1.50 ms") == 2


def test_layers_of_one_name_and_different_shapes_are_kept_apart() -> None:
    layers = [*LAYERS[:4], layer("/net/block.2/in/MatMul", 0.001, 0.001, 0.001, rows=32)]
    lines = printed(layers)
    assert "block.*/in (2 of 64 x 64) 8.00 ms 2.00 ms" in lines
    assert "block.2/in 1.00 ms 1.00 ms" in lines


def test_a_single_layer_keeps_its_name() -> None:
    lines = printed([layer("head.weight", 0.004, 0.001, 0.001)])
    assert "head.weight 4.00 ms 1.00 ms" in lines
    assert "Leave dense" not in " ".join(lines)


def test_what_is_best_left_dense_is_named() -> None:
    text = " ".join(printed(LAYERS))
    assert "Leave dense, as no sparsity here makes them faster: block.*/out (2), " in text
    assert "block.1/wide - -" in text
    assert "Layers without a time are left to ONNX Runtime" in text


def test_only_some_layers_of_a_row_may_be_left_dense() -> None:
    layers = [layer("a.0", 0.004, 0.001, 0.001), layer("a.1", 0.001, 1, 1, leave_dense=True)]
    assert "makes them faster: 1." in " ".join(printed(layers))


def test_the_verdict_and_the_method_stand_below() -> None:
    text = " ".join(printed(LAYERS))
    assert "Sparsity pays here from 90 % on." in text
    assert "10.6 M weights" in text
    assert "over 24 turns or more" in text
    assert "For x [1, 64] on a processor, 2 of 4 cores." in text


def test_a_busy_machine_is_told() -> None:
    assert "was busy" not in " ".join(printed(LAYERS))
    assert "was busy when this began (load 3.2 on 4 cores)" in " ".join(printed(LAYERS, load=3.2))
