"""Inputs and outputs of a session that are bound once, where they lie, and run many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import DataError, OptionError
from gossamer.integrations.onnxruntime.exceptions import as_onnxruntime_raises
from gossamer.integrations.onnxruntime.ort_value import OrtValue, check_device, dtype_of
from gossamer.runtime.feeds import check_mapping
from gossamer.runtime.memory import view

if TYPE_CHECKING:
    from gossamer.integrations.onnxruntime.inference_session import InferenceSession

Array = NDArray[Any]


class IOBinding:
    """`onnxruntime.IOBinding` for what runs in generated code, on the CPU.

    Args:
        session: whose inputs and outputs they are.
    """

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self._inputs: dict[str, Any] = {}
        # Where each output is to go; None for an array of its own.
        self._targets: dict[str, Any] = {}
        self._results: dict[str, Array] = {}

    @as_onnxruntime_raises
    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Take an array for an input. It is read where it lies, at each run.

        Raises:
            DataError: if there is no such input.
        """
        self._check(
            name, [*self.session.get_inputs(), *self.session.get_overridable_initializers()]
        )
        self._inputs[name] = arr_on_cpu

    @as_onnxruntime_raises
    def bind_input(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: Any,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None:
        """Take memory for an input, which must last as long as it is bound.

        Args:
            name: of the input.
            device_type: `cpu`.
            device_id: not looked at.
            element_type: a type of NumPy, or its number in ONNX.
            shape: of what lies there.
            buffer_ptr: the address.

        Raises:
            DataError: if there is no such input, or the memory is not the CPU's.
        """
        check_device(device_type)
        self.bind_cpu_input(name, view(buffer_ptr, tuple(shape), dtype_of(element_type)))

    @as_onnxruntime_raises
    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Take an OrtValue for an input.

        Raises:
            DataError: if there is no such input.
        """
        self.bind_cpu_input(name, ortvalue)

    @as_onnxruntime_raises
    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Ask for an output, in memory of the caller's if `buffer_ptr` says where.

        Args:
            name: of the output.
            device_type: `cpu`.
            device_id: not looked at.
            element_type: a type of NumPy, or its number in ONNX; for memory of the caller's.
            shape: what that memory holds.
            buffer_ptr: its address.

        Raises:
            DataError: if there is no such output, or the memory is not the CPU's.
            OptionError: if memory is given without its type and shape.
        """
        check_device(device_type)
        self._check(name, self.session.get_outputs())
        self._targets[name] = None
        if buffer_ptr is not None:
            if element_type is None or shape is None:
                raise OptionError("memory for an output needs `element_type` and `shape`")
            self._targets[name] = view(buffer_ptr, tuple(shape), dtype_of(element_type))

    @as_onnxruntime_raises
    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Let an output be written into an OrtValue.

        Raises:
            DataError: if there is no such output.
        """
        self._check(name, self.session.get_outputs())
        self._targets[name] = ortvalue

    def run(self, options: Any) -> None:
        """Run the session on what is bound.

        Raises:
            DataError: if no output is bound, or its place is of another type or shape.
        """
        if not self._targets:
            raise DataError("no output is bound; call bind_output first")
        found = self.session.run(list(self._targets), self._inputs, options)
        self._results = dict(zip(self._targets, found, strict=True))
        for name, target in self._targets.items():
            if target is not None:
                _write(name, target, self._results[name])

    def get_outputs(self) -> list[OrtValue]:
        """What the last run gave, in the order in which the outputs were bound."""
        return [
            target if isinstance(target, OrtValue) else OrtValue.ortvalue_from_numpy(result)
            for target, result in self._pairs()
        ]

    def copy_outputs_to_cpu(self) -> list[Array]:
        """What the last run gave as arrays, in the order in which the outputs were bound."""
        return [result.copy() for _, result in self._pairs()]

    def _pairs(self) -> list[tuple[Any, Array]]:
        return [(self._targets.get(name), result) for name, result in self._results.items()]

    def synchronize_inputs(self) -> None:
        """Do nothing: on the CPU all is where it should be."""

    def synchronize_outputs(self) -> None:
        """Do nothing: on the CPU all is where it should be."""

    def clear_binding_inputs(self) -> None:
        """Forget the inputs."""
        self._inputs.clear()

    def clear_binding_outputs(self) -> None:
        """Forget the outputs, and what the last run gave."""
        self._targets.clear()
        self._results = {}

    def _check(self, name: str, ports: Sequence[Any]) -> None:
        names = [port.name for port in ports]
        if name not in names:
            raise DataError(f"there is no {name!r} to bind; there are {', '.join(names)}")


def arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, each OrtValue that is one as an array.

    Raises:
        DataError: if they have no names.
    """
    check_mapping(values)
    return {
        name: value.numpy() if isinstance(value, OrtValue) and value.is_tensor() else value
        for name, value in values.items()
    }


def _write(name: str, target: Any, result: Array) -> None:
    """Put a result where it was bound to.

    Raises:
        DataError: if it does not fit.
    """
    is_value = isinstance(target, OrtValue)
    shape = list(target.shape() if is_value else target.shape)
    dtype = np.dtype(target.numpy().dtype if is_value else target.dtype)
    if shape != list(result.shape) or dtype != result.dtype:
        raise DataError(
            f"output {name!r} is {result.dtype} {list(result.shape)}; it is bound to memory for "
            f"{dtype} {shape}"
        )
    if is_value:
        target.update_inplace(result)
    else:
        target[...] = result
