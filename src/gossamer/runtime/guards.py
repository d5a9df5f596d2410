"""Nodes that are put before another one, so that the model itself refuses what it would die of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper


class Guard:
    """Nodes before one that ONNX Runtime may die of, in an order in which they can run.

    Args:
        node: that one.
        what: a word that tells its guards apart.
    """

    def __init__(self, node: onnx.NodeProto, what: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._name = f"{next(filter(None, node.output))}/gossamer.{what}"

    def add(self, op: str, *inputs: str, refusing: str = "", **attributes: Any) -> str:
        """Add a node; return what its output is called.

        Args:
            op: an operator of ONNX's own.
            inputs: what it takes.
            refusing: what to say of the model where it fails.
            attributes: by name.
        """
        output = f"{self._name}.{len(self.nodes)}"
        name = f"<{refusing}>" if refusing else ""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name, **attributes))
        return output

    def number(
        self, value: int, dtype: int = onnx.TensorProto.INT64, shape: Sequence[int] = (1,)
    ) -> str:
        """An array of one number, by default along one axis."""
        return self.add("Constant", value=helper.make_tensor("", dtype, shape, [value]))


def named(node: onnx.NodeProto) -> str:
    """A node, for the message of an error."""
    return f"{node.op_type} {node.name or next(filter(None, node.output), '')!r}"


def refusal(message: str) -> str:
    """What a guard said, in the message of an error of ONNX Runtime; empty if none did."""
    found = re.search(r"(?:Name:'|Node \()<(.*)>(?:' Status|\) Op)", message)
    return found[1] if found else ""
