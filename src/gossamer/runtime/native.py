"""How an operator runs in generated code: what `runtime/ops/` says of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gossamer.graphs.dims import Size
from gossamer.runtime.codegen.target import Target
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.pointwise import Rule
from gossamer.runtime.steps import Alias, Call

Operands: TypeAlias = "list[Value | Size]"
Attributes: TypeAlias = "tuple[tuple[str, Any], ...]"
"""Words and numbers that can be hashed, as the rule for elements takes them."""


@dataclass(frozen=True)
class Native:
    """How an operator runs. A part is None where it does not run so."""

    reason: Callable[[Node], str] | None = None
    """Why generated code cannot run a node as it is; empty if it can. None: it never can."""
    expand: Callable[[Expansion, Node], Sequence[Value] | None] | None = None
    """Other nodes that do the same: what stands for each output, None if a node is better left."""
    element: Rule | None = None
    """What an element of the output is, for kernels over expressions."""
    operands: Callable[[Node], tuple[Operands, Attributes]] | None = None
    """What the rule for elements takes; raises `UnknownSize` with the reason where it cannot."""
    lower: Callable[[Node, Target], Sequence[Call | Alias]] | None = None
    """The calls of kernels, for what is no expression; of a reduction, when it has been grouped."""
    lies: Literal["plain", "tiles", "images", "anywhere"] = "plain"
    """How a node takes its arrays: row by row, in tiles of rows, in planes, or as they lie."""
    is_elementwise: bool = False
    """Whether an element depends on those at its own place only, broadcast."""
    is_cheap: bool = False
    """Whether elements are rather computed again for each that takes them than stored once."""
    is_alias: bool = False
    """Whether the output is the input's memory under another shape."""
    is_heavy: bool = False
    """Whether it is worth a region of generated code."""


LEFT = Native()
"""An operator that is left to ONNX Runtime."""
