"""ONNX's own tests of single operators: whatever ONNX Runtime passes, a session passes.

Each runs twice: as it is, and with nothing left to ONNX Runtime for want of heavy layers and with
axes, sizes and the like as constants, so that every kernel takes its part.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from gossamer.runtime import compiler

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


def sample(subject: str) -> list[str]:
    """Two cases of a subject, always the same."""
    mine = [
        name
        for name in sorted(cases())
        if name.split("_")[0] == subject or name.startswith(f"{subject}_")
    ]
    return [mine[0], mine[len(mine) // 2]] if len(mine) > 1 else mine


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


def onnx_runtime_passes(case: Any, feeds: dict[str, Any], model: Any = None) -> bool:
    """Whether ONNX Runtime passes a case, perhaps in the form of another model."""
    model = model or case.model
    taken = {port.name for port in model.graph.input}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        reference = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        given = {name: value for name, value in feeds.items() if name in taken}
        return passes(reference.run(None, given), case)
    except Exception:
        return False


def settled(model: Any, feeds: dict[str, Any]) -> Any:
    """The model with axes, sizes, pads and the like as constants, as exporters write them."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    # Before, initializers had to be inputs as well.
    changed.ir_version = max(model.ir_version, 4)
    del changed.graph.input[:]
    for position, port in enumerate(model.graph.input):
        value = np.asarray(feeds.get(port.name))
        small = (value.dtype.kind in "iu" and value.ndim < 2) or port.name in ("scales", "roi")
        if position and small:
            changed.graph.initializer.append(numpy_helper.from_array(value, port.name))
        else:
            changed.graph.input.append(port)
    return changed


def outcome(name: str) -> set[tuple[str, str]] | None:
    """Operators that are left to ONNX Runtime, and why; None where it fails the case itself.

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
        return None
    assert passes(compiler.compile(case.model, threads=2).run(None, feeds), case), name
    model = settled(case.model, feeds)
    if not onnx_runtime_passes(case, feeds, model):
        # Its conditional branches are not valid for constants.
        model = case.model
    # Sequences are no values of generated code: the strict engine refuses them.
    arrays_alone = all(port.type.HasField("tensor_type") for port in model.graph.output)
    engine: compiler.Engine = "gossamer" if arrays_alone else "auto"
    compiled = compiler.compile(model, threads=2, engine=engine)
    feeds = {port.name: feeds[port.name] for port in compiled.get_inputs()}
    assert passes(compiled.run(None, feeds), case), f"{name}, natively"
    return {(line.op, line.reason) for line in compiled.explain() if line.kernel == "ONNX Runtime"}


NATIVE = "native"
SOMETIMES = "of a type, form or shape at run time that has no kernel"
NEVER = "with an operator that has no lowering"
REFUSED = "refused by ONNX Runtime"


def classes(left: dict[str, set[tuple[str, str]] | None]) -> dict[str, str]:
    """The class of each case. An operator has a lowering if some case of it is wholly native."""
    native = {
        node.op_type
        for name, operators in left.items()
        if operators == set()
        for node in cases()[name].model.graph.node
    }
    found = {}
    for name, operators in left.items():
        if operators is None:
            found[name] = REFUSED
        elif not operators:
            found[name] = NATIVE
        else:
            known = all(op in native for op, _ in operators)
            found[name] = SOMETIMES if known else NEVER
    return found


# By subject, since making the cases to have their names takes seconds in each process.
@pytest.mark.parametrize("subject", SUBJECTS)
def test_operator(subject: str) -> None:
    names = sample(subject)
    assert names
    for name in names:
        outcome(name)


@pytest.mark.slow
def test_all_operators() -> None:
    failed, left = [], {}
    for name in cases():
        try:
            left[name] = outcome(name)
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__} {str(error)[:150]}")
    counts = Counter(classes(left).values())
    for kind in (NATIVE, SOMETIMES, NEVER, REFUSED):
        print(f"{counts[kind]:5} {kind}")
    assert not failed, "\n".join(failed)
    assert counts[NATIVE] >= 1090
