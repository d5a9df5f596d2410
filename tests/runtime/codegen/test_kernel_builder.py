"""The function that a kernel is: its arguments by name, its threads' shares and scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gossamer.runtime.codegen import jit
from gossamer.runtime.codegen.builder import F32, I32, I64
from gossamer.runtime.codegen.kernel_builder import KernelBuilder, write_kernel
from gossamer.runtime.codegen.target import target
from gossamer.runtime.signature import Input, Output, Scratch, Signature, SignatureError, symbols

HOST = target()
COUNT, FACTOR = symbols("count", "factor")


def load(signature: Signature, body: Any) -> Any:
    return jit.callable_kernel(jit.load(write_kernel(signature, HOST, body), HOST))


def test_arguments_are_found_by_name_in_the_signatures_order() -> None:
    pointers = Input("x", "int32", COUNT), Output("y", "int64", COUNT)
    signature = Signature("Scale", pointers, (COUNT, FACTOR))

    def body(b: KernelBuilder) -> None:
        factor, y, x = b.arguments("factor", "y", "x")
        with b.loop(*b.own_share(b.argument("count"))) as place:
            value = b.cast(b.load(b.at(x, place, I32), I32), I64)
            b.store(value * factor, b.at(y, place, I64))

    x, y = np.arange(7, dtype=np.int32), np.zeros(7, np.int64)
    given = {"count": 7, "factor": 3, "y": y.ctypes.data, "x": x.ctypes.data}
    table = np.array([given[name] for name in signature.names])
    kernel = load(signature, body)
    for thread in range(3):
        kernel(table.ctypes.data, thread, 3)
    np.testing.assert_array_equal(y, 3 * x)


def test_an_argument_that_the_signature_lacks_is_refused() -> None:
    signature = Signature("Scale", (Input("x", "int32", COUNT),), (COUNT,))
    with pytest.raises(SignatureError, match="Scale has no argument 'rows'"):
        write_kernel(signature, HOST, lambda b: b.argument("rows") and None)


@pytest.mark.parametrize("elements", [32, COUNT * 16])
def test_each_thread_has_scratch_of_its_own(elements: Any) -> None:
    pointers = (Scratch("room", "float32", elements),)

    def body(b: KernelBuilder) -> None:
        b.store(b.cast(b.thread + 1, F32), b.argument("room"))

    kernel = load(Signature("Own", pointers, (COUNT,)), body)
    room = np.zeros((3, 32), np.float32)
    table = np.array([room.ctypes.data, 2])
    for thread in range(3):
        kernel(table.ctypes.data, thread, 3)
    np.testing.assert_array_equal(room[:, 0], [1, 2, 3])
