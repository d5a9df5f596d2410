"""A tensor's elements are as its type and shape say, or it is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from gossamer.errors import ModelError
from gossamer.graphs.tensors import tensor_array

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_elements_are_read_from_raw_bytes_and_from_numbers() -> None:
    np.testing.assert_array_equal(tensor_array(numpy_helper.from_array(WEIGHT)), WEIGHT)
    numbers = TensorProto(data_type=TensorProto.FLOAT, dims=(2, 3), float_data=range(6))
    np.testing.assert_array_equal(tensor_array(numbers), WEIGHT)


@pytest.mark.parametrize(
    "changes",
    [
        {"data_type": 65536},
        {"data_type": 0},
        {"dims": [2, 4]},
        {"dims": [-2, -3]},
        {"dims": [2**62, 2**62]},
        {"raw_data": WEIGHT.tobytes() + bytes(4)},
        {"raw_data": bytes(3)},
        {"data_type": TensorProto.STRING},
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(changes: dict[str, object]) -> None:
    tensor = numpy_helper.from_array(WEIGHT, "w")
    for name in changes:
        tensor.ClearField(name)
    tensor.MergeFrom(TensorProto(**changes))
    with pytest.raises(ModelError, match=r"tensor 'w' is broken .*; export") as error:
        tensor_array(tensor)
    assert "\n" not in str(error.value)


def test_what_lies_in_another_file_is_not_looked_for() -> None:
    tensor = TensorProto(name="w", data_location=TensorProto.EXTERNAL)
    with pytest.raises(ModelError, match="lies in another file; give the path"):
        tensor_array(tensor)
