"""ONNX Runtime's `OrtValue`; where that is not installed, what of it is for tensors on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from gossamer.errors import DataError
from gossamer.runtime.ports import type_name


class OwnValue:
    """A tensor on the CPU that stands where `onnxruntime.OrtValue` would.

    Args:
        array: its elements, which it takes where they lie.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    @classmethod
    def ortvalue_from_numpy(
        cls, numpy_obj: NDArray[Any], /, device_type: str = "cpu", device_id: int = 0
    ) -> OwnValue:
        """An array's elements where they lie.

        Raises:
            DataError: if it is to be elsewhere than on the CPU.
        """
        check_device(device_type)
        return cls(numpy_obj)

    @classmethod
    def ortvalue_from_shape_and_type(
        cls, shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0
    ) -> OwnValue:
        """A tensor whose elements are not set yet; its type one of NumPy or a number of ONNX.

        Raises:
            DataError: if it is to be elsewhere than on the CPU.
        """
        check_device(device_type)
        return cls(np.empty(shape, dtype_of(element_type)))

    def numpy(self) -> NDArray[Any]:
        """The elements, copied."""
        return self._array.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._array, dtype=dtype, copy=copy)

    def update_inplace(self, data: NDArray[Any] | OwnValue) -> None:
        """Set the elements."""
        self._array[...] = np.asarray(data)

    def shape(self) -> list[int]:
        """Its sizes."""
        return list(self._array.shape)

    def data_type(self) -> str:
        """Such as `tensor(float)`."""
        return f"tensor({type_name(self.element_type())})"

    def element_type(self) -> int:
        """The type's number in ONNX."""
        return int(helper.np_dtype_to_tensor_dtype(self._array.dtype))

    def tensor_size_in_bytes(self) -> int:
        """What the elements take."""
        return self._array.nbytes

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._array.ctypes.data

    def device_name(self) -> str:
        """Always `cpu`."""
        return "cpu"

    def has_value(self) -> bool:
        """Whether there is something in it."""
        return True

    def is_tensor(self) -> bool:
        """Whether it is one array."""
        return True

    def is_sparse_tensor(self) -> bool:
        """Whether it holds a sparse tensor."""
        return False

    def is_tensor_sequence(self) -> bool:
        """Whether it holds several tensors."""
        return False


if TYPE_CHECKING:
    OrtValue = OwnValue
else:
    try:
        from onnxruntime import OrtValue
    except ImportError:
        OrtValue = OwnValue


def dtype_of(element_type: Any) -> np.dtype[Any]:
    """The type of NumPy that is given as such, or by its number in ONNX."""
    if isinstance(element_type, int):
        element_type = helper.tensor_dtype_to_np_dtype(element_type)
    found: np.dtype[Any] = np.dtype(element_type)
    return found


def check_device(device_type: str) -> None:
    """Refuse what is not on the CPU.

    Raises:
        DataError: that names the device.
    """
    if device_type.lower() != "cpu":
        raise DataError(f"the model runs on the CPU, not on {device_type!r}; bind it there")
