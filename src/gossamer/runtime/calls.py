"""The call of a kernel for a node."""

from __future__ import annotations

from collections.abc import Mapping

from gossamer.runtime import tuning
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.graph import Node
from gossamer.runtime.kernels import pointwise
from gossamer.runtime.kernels.kernel import Kernel, address_of, key_of
from gossamer.runtime.signature import Given
from gossamer.runtime.steps import Call


def call(
    kernel: Kernel, label: str, target: Target, node: Node, given: Mapping[str, Given]
) -> Call:
    """The call of a kernel for a node, checked against what the kernel takes."""
    op, sparsity = node.op, None
    if "nodes" in node.attributes:
        op = "+".join(member.op for member in reversed(node.attributes["nodes"]))
    elif "steps" in node.attributes:
        weights = node.source(1).data
        assert weights is not None
        sparsity = tuning.sparsity(weights)
    arguments = kernel.signature.bind(given)
    address, code = address_of(kernel, target), key_of(kernel, target)
    return Call(label, address, arguments, node.name, op, sparsity, code)


def elements(node: Node) -> dict[str, Given]:
    """What a kernel over an expression takes."""
    inputs = [value for value in node.inputs if value is not None]
    return {"output": node.output, **pointwise.arguments(inputs, node.attributes["sizes"])}
