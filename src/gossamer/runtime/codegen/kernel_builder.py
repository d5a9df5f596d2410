"""The function that a kernel is: `void kernel(i64 *arguments, i64 thread, i64 threads)`.

Every thread calls it with its own number and does its share of the work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir

from gossamer.graphs.dims import number
from gossamer.runtime.codegen.builder import I8, I64, POINTER, Builder, Term
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.signature import Scratch, Signature, SignatureError

KERNEL_TYPE = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])


class KernelBuilder(Builder):
    """Writes the body of a kernel, which has its arguments by the names of its signature."""

    def __init__(self, function: ir.Function, signature: Signature, target: Target) -> None:
        super().__init__(function)
        self.target = target
        table, self.thread, self.threads = (Term(self, argument) for argument in function.args)
        self._kernel, names = signature.kernel, enumerate(signature.names)
        self._terms = {name: self.load(self.at(table, place, I64), I64) for place, name in names}
        for pointer in signature.pointers:
            address = self.pointer(self._terms[pointer.name])
            if isinstance(pointer, Scratch):
                count = number(pointer.elements, self._terms) * np.dtype(pointer.dtype).itemsize
                address = self.at(address, self.thread * count, I8)
            self._terms[pointer.name] = address

    def argument(self, name: str) -> Term:
        """A number, an address, or of scratch the address of what this thread has for itself.

        Raises:
            SignatureError: if the kernel's signature has none of the name.
        """
        if name not in self._terms:
            raise SignatureError(f"{self._kernel} has no argument {name!r}")
        return self._terms[name]

    def arguments(self, *names: str) -> list[Term]:
        """Several arguments."""
        return [self.argument(name) for name in names]

    def own_share(self, count: Term) -> tuple[Term, Term]:
        """The first and one past the last of `count` items that fall to this thread."""
        return self.share(count, self.thread, self.threads)


def write_kernel(
    signature: Signature, target: Target, body: Callable[[KernelBuilder], None]
) -> str:
    """The LLVM module of a kernel."""
    module = ir.Module("kernel")
    b = KernelBuilder(ir.Function(module, KERNEL_TYPE, "kernel"), signature, target)
    body(b)
    b.ir.ret_void()
    return str(module)
