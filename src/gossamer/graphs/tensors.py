"""The elements of a tensor in an ONNX model, if it has them as its type and shape say."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from gossamer.errors import ModelError, first_line

Array = np.ndarray[Any, Any]


def tensor_array(tensor: TensorProto) -> Array:
    """A tensor's elements.

    Raises:
        ModelError: if they are not there, or not such as its type and shape ask for.
    """
    if tensor.data_location == TensorProto.EXTERNAL:
        # A file's data was read with the file; what is left would be looked for anywhere.
        raise ModelError(
            f"tensor {tensor.name!r} lies in another file; give the path of the model instead"
        )
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        # Of many types: ONNX's code looks at little before it reads.
        raise ModelError(
            f"tensor {tensor.name!r} is broken ({first_line(error)}); export the model anew"
        ) from error
