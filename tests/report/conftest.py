"""A proof to show: of a search, with everything that a report can tell."""

from __future__ import annotations

from typing import Any

import pytest


def interval(median: float, spread: float = 0.02) -> dict[str, float]:
    return {"median": median, "low": median * (1 - spread), "high": median * (1 + spread)}


def candidate(
    name: str, milliseconds: float, file: int | None = 90_000_000, first: float | None = None
) -> dict[str, Any]:
    """Return a candidate as `CandidateResult.to_dict()` does; `first` are those of the first."""
    energy: dict[str, Any] = {
        "meter": "CPU time",
        "kind": "estimated",
        "method": "estimated: busy CPU seconds x 5 W per core",
        "joules": interval(milliseconds / 100),
        "gain": None if first is None else interval(first / milliseconds),
        "note": None,
    }
    gain = None if first is None else interval(first / milliseconds)
    return {
        "name": name,
        "engine": "gossamer",
        "threads": 2,
        "file": "model.onnx",
        "file_bytes": file,
        "compressed_bytes": file,
        "latency_ms": interval(milliseconds),
        "throughput": interval(1000 / milliseconds),
        "cpu_seconds": interval(2e-3 * milliseconds),
        "energy": energy,
        "energies": [energy],
        "peak_memory": {"bytes": file and 2 * file, "method": "VmHWM", "resident": None},
        "max_relative_difference": None,
        "gains": None
        if gain is None
        else {
            "latency": gain,
            "cpu_seconds": gain,
            "energy": gain,
            "file_bytes": file and 90_000_000 / file,
            "compressed_bytes": file and 90_000_000 / file,
            "peak_memory_bytes": file and 90_000_000 / file,
        },
        "speed_verdict": None if gain is None else "2.00 times faster (1.96 to 2.04)",
        "energy_verdict": None if gain is None else "2.00 times less estimated energy (1.96-2.04)",
        "per_million": {"kwh": 0.0277, "grams": 10.6, "cost": 0.0083},
    }


def trial(cost: float, score: float, accepted: bool) -> dict[str, Any]:
    return {
        "asked": cost,
        "sparsity": 1 - cost,
        "cost": cost,
        "objective": "energy",
        "figures": {"cpu_seconds": cost / 100},
        "score": score,
        "drop": 0.95 - score,
        "interval": [0.94 - score, 0.96 - score],
        "accepted": accepted,
        "seconds": 3.0,
    }


@pytest.fixture
def proof() -> dict[str, Any]:
    """What `Proof.to_dict()` gives after a search."""
    trials = [trial(0.3, 0.90, False), trial(0.5, 0.94, True), trial(0.7, 0.945, True)]
    return {
        "protocol": "candidates in turn after warm-up on the same inputs",
        "rounds": 57,
        "runs_per_round": [10, 10, 10, 20],
        "noisy_windows": 0,
        "noise": {
            "others": 0.01,
            "stolen": 0.0,
            "spread": 0.02,
            "drift": 0.0,
            "noisy_windows": 0.0,
        },
        "notes": ["int8, ONNX Runtime takes less energy still."],
        "inputs": [{"input_ids": [1, 128], "attention_mask": [1, 128]}],
        "environment": {
            "processor": "A Processor",
            "cores": 2,
            "platform": "Linux x86_64",
            "versions": {"gossamer": "0.1.0", "numpy": "2"},
        },
        "candidates": [
            candidate("dense, ONNX Runtime", 12.0),
            candidate("int8, ONNX Runtime", 4.0, 23_000_000, first=12.0),
            candidate("dense, Gossamer", 11.0, first=12.0),
            candidate("sparse, Gossamer", 6.0, 30_000_000, first=12.0),
        ],
        "verdict": "so",
        "scores": {"dense": 0.95, "sparse": 0.94, "drop": 0.01, "interval": [-0.002, 0.022]},
        "int8_scores": None,
        "contents": {
            "dense": {
                "weights": 22_700_000,
                "nonzeros": 22_700_000,
                "sparsity": 0.0,
                "model_sparsity": 0.0,
                "multiply_adds": 1_000_000_000,
                "nonzero_multiply_adds": 1_000_000_000,
            },
            "sparse": {
                "weights": 22_700_000,
                "nonzeros": 15_700_000,
                "sparsity": 0.66,
                "model_sparsity": 0.31,
                "multiply_adds": 1_000_000_000,
                "nonzero_multiply_adds": 340_000_000,
            },
        },
        "layers": [
            {
                "name": f"encoder.layer.{number}.<dense>",
                "weights": 589_824,
                "sparsity": 0.5 + number / 50,
                "dense_seconds": 1e-4,
                "sparse_seconds": None if number == 3 else 5e-5,
            }
            for number in range(8)
        ],
        "rest": [2e-3, 2e-3],
        "payback": {
            "says": "Sparsifying took 1.2 Wh (estimated); it is repaid after 72 000.",
            "spent": {"joules": 7200.0, "method": "measured: by x"},
            "spent_grams": 0.762,
        },
        "spinning_seconds": 0.0115,
        "grid": {"grams_per_kwh": 381.0, "source": "Germany, 2023: Our World in Data"},
        "price_per_kwh": 0.3,
        "sparsified": {
            "objective": "energy",
            "dense_score": 0.95,
            "trials": trials,
            "frontier": trials,
            "final_score": None,
            "notes": ["The pruned layers hold 7.6 % of the model's weights."],
        },
    }
