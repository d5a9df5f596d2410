"""ONNX's own tests of single operators: whatever ONNX Runtime passes, a session passes.

Each runs twice: as it is, and with nothing left to ONNX Runtime for want of heavy layers, so that
every kernel takes its part.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx.backend.test.case.node import collect_testcases

from gossamer.runtime import session

SUBJECTS = [
    *("abs", "add", "and", "cast", "ceil", "clip", "concat", "constant", "conv", "cos", "div"),
    *("dropout", "equal", "erf", "exp", "expand", "flatten", "floor", "gather", "gelu", "gemm"),
    *("globalaveragepool", "greater", "hardsigmoid", "hardswish", "identity", "isnan"),
    *("layer_normalization", "leakyrelu", "less", "log", "matmul", "max", "maxpool", "mean", "min"),
    *("mul", "neg", "not", "or", "pow", "range", "reciprocal", "reduce_mean", "relu", "reshape"),
    *("round", "shape", "sigmoid", "sin", "slice", "softmax", "sqrt", "squeeze", "sub", "tanh"),
    *("averagepool", "transpose", "unsqueeze", "where", "xor"),
]


@functools.cache
def cases() -> dict[str, Any]:
    """The cases by name, and of each the first data set."""
    with np.errstate(all="ignore"):
        return {case.name.removeprefix("test_"): case for case in collect_testcases(None)}


def sample() -> list[str]:
    """Two cases of each subject, always the same."""
    found = []
    for subject in SUBJECTS:
        mine = [
            name
            for name in sorted(cases())
            if name.split("_")[0] == subject or name.startswith(f"{subject}_")
        ]
        found += [mine[0], mine[len(mine) // 2]] if len(mine) > 1 else mine
    return list(dict.fromkeys(found))


def arrays(values: Sequence[Any]) -> list[Any]:
    return [np.asarray(v) if isinstance(v, np.generic) else v for v in values]


def passes(results: Sequence[Any], case: Any) -> bool:
    """Whether results are those that the case states."""
    _, wanted = case.data_sets[0]
    if len(results) != len(wanted):
        return False
    for ours, theirs in zip(results, wanted, strict=True):
        if not isinstance(theirs, np.ndarray | np.generic):
            if repr(ours) != repr(theirs):
                return False
            continue
        theirs = np.asarray(theirs)
        if not isinstance(ours, np.ndarray) or ours.shape != theirs.shape:
            return False
        if ours.dtype != theirs.dtype:
            return False
        if theirs.dtype.kind == "f":
            if not np.allclose(ours, theirs, rtol=case.rtol, atol=1e-5, equal_nan=True):
                return False
        elif not np.array_equal(ours, theirs):
            return False
    return True


def onnx_runtime_passes(case: Any, feeds: dict[str, Any]) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        reference = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return passes(reference.run(None, feeds), case)
    except Exception:
        return False


def outcome(name: str) -> str:
    """`native`, `partly native`, `ONNX Runtime` or, where it passes nothing, `neither`.

    Raises:
        AssertionError: if ONNX Runtime passes the case and a session does not.
    """
    case = cases()[name]
    given, _ = case.data_sets[0]
    tensors = all(port.type.HasField("tensor_type") for port in case.model.graph.input)
    feeds = {
        port.name: value
        for port, value in zip(case.model.graph.input, arrays(given), strict=False)
        if value is not None
    }
    if not tensors or not onnx_runtime_passes(case, feeds):
        return "neither"
    assert passes(session.compile(case.model, threads=2).run(None, feeds), case), name
    compiled = session.compile(case.model, threads=2, engine="gossamer")
    assert passes(compiled.run(None, feeds), case), f"{name}, natively"
    kernels = {line.kernel == "ONNX Runtime" for line in compiled.explain()}
    return {(True,): "ONNX Runtime", (False,): "native"}.get(tuple(kernels), "partly native")


@pytest.mark.parametrize("name", sample())
def test_operator(name: str) -> None:
    outcome(name)


@pytest.mark.slow
def test_all_operators() -> None:
    failed, counts = [], Counter[str]()
    for name in cases():
        try:
            counts[outcome(name)] += 1
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__} {str(error)[:150]}")
    print(dict(counts))
    assert not failed, "\n".join(failed)
    assert counts["native"] >= 180
