"""What all kernels have in common, and their way into this process."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Protocol

from gossamer.runtime.codegen import jit
from gossamer.runtime.codegen.kernel_builder import KernelBuilder, write_kernel
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.signature import Signature


class Kernel(Hashable, Protocol):
    """A description of a kernel that can write its function; equal ones write the same."""

    @property
    def signature(self) -> Signature:
        """What it takes."""
        ...

    def write(self, b: KernelBuilder) -> None:
        """Write the body."""
        ...


@cache
def source_of(kernel: Kernel, target: Target) -> str:
    """A kernel's module, written once."""
    return write_kernel(kernel.signature, target, kernel.write)


@cache
def key_of(kernel: Kernel, target: Target) -> str:
    """What a kernel's code depends on, in one word."""
    return jit.key(source_of(kernel, target), target)


@cache
def address_of(kernel: Kernel, target: Target) -> int:
    """The address of a kernel's code, compiled unless the cache on disk has it."""
    return jit.load(source_of(kernel, target), target)
