"""Whether an exported graph gives what the module gives, as ONNX Runtime runs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor

from gossamer.models.torch_axes import OpenAxes, resized
from gossamer.models.torch_traced import Traced
from gossamer.onnx_runtime import session_class
from gossamer.user_code import describe

# An export is another model if an output is farther off than this, as a share of its largest value.
_TOLERANCE = 1e-3


def can_verify() -> bool:
    """Return whether ONNX Runtime is there."""
    return find_spec("onnxruntime") is not None


def difference(proto: onnx.ModelProto, traced: Traced, axes: OpenAxes) -> str | None:
    """Return where an export gives something else than the module; None if it does nowhere."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    cases = {"the example": axes.tensors}
    for label, tensors in axes.others():
        cases[f"another size of {label!r}"] = tensors
        one = resized(axes.tensors, axes.members(label), lambda _: 1)
        cases[f"a size of one of {label!r}"] = one
    cases["other values"] = {name: _other_values(one) for name, one in axes.tensors.items()}
    try:
        session = session_class()(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        taken = [value.name for value in session.get_inputs()]
        for case, tensors in cases.items():
            if not traced.runs(tensors):
                continue
            expected = traced.arrays(tensors)
            found = session.run(None, {name: tensors[name].numpy() for name in taken})
            # A module that draws numbers does not even give the same twice.
            if not _agree(found, expected) and _agree(traced.arrays(tensors), expected):
                return f"the export gives something else than the model for {case}"
    except Exception as error:
        return f"the export does not run: {describe(error)}"
    return None


def _other_values(tensor: Tensor) -> Tensor:
    """Return values of the same kind: a mask without a hole gets one, tokens another order."""
    if tensor.is_floating_point():
        return tensor * -1.5
    changed = tensor.flip(-1) if tensor.ndim else tensor.clone()
    if changed.numel() and bool((changed == 1).all()):
        changed[..., -1] = 0
    return changed


def _agree(found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> bool:
    for one, other in zip(found, expected, strict=True):
        if one.shape != other.shape:
            return False
        if other.dtype.kind != "f" or not other.size:
            # Where two numbers are alike, the index of the larger is either's.
            continue
        finite = np.isfinite(other)
        scale = np.abs(other[finite]).max(initial=0)
        if not np.allclose(one, other, rtol=0, atol=_TOLERANCE * scale, equal_nan=True):
            return False
    return True
