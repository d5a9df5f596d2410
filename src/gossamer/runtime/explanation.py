"""How each node of a model runs, in lines that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gossamer.runtime.steps import Alias, Call, Step
from gossamer.runtime.whole import WholeModel


@dataclass(frozen=True)
class Explanation:
    """How one node of the model runs."""

    name: str
    op: str
    kernel: str
    """The kernel, `view` for what costs nothing, or `ONNX Runtime`."""
    reason: str = ""
    """Why there is no kernel for it."""
    sparsity: float | None = None
    """Fraction of zeros among the node's weights."""
    seconds: float | None = None
    """What it takes within a run, where inputs to time it on were given. Of nodes that run together
    in ONNX Runtime the first bears the figure of all, and the others have none."""
    share: float | None = None
    """Fraction of the sum of all `seconds`, 0 to 1."""


def explain_step(step: Step) -> list[Explanation]:
    """A line for each node of a step."""
    if isinstance(step, Call):
        return [Explanation(step.name, step.op, step.kernel, sparsity=step.sparsity)]
    if isinstance(step, Alias):
        node = step.output.producer
        return [Explanation(node.name if node else "", node.op if node else "", "view")]
    return [Explanation(node.name, node.op, "ONNX Runtime", node.reason) for node in step.nodes]


def explain_whole(whole: WholeModel, feeds: Mapping[str, Any] | None) -> list[Explanation]:
    """A line for each node of a model that is left to ONNX Runtime; the first bears all time."""
    lines = [Explanation(name, op, "ONNX Runtime", whole.reason) for name, op in whole.nodes]
    if feeds is not None and lines:
        lines[0] = replace(lines[0], seconds=whole.seconds(feeds), share=1.0)
    return lines
