"""The names that an exported graph has: of nodes, and of the sizes of its inputs and outputs."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable

import onnx

from gossamer.models.adapter import AxisNames

_SCOPES = "pkg.torch.onnx.name_scopes"
_SYMBOL = re.compile(r"\b[su]\d+\b")


def name_nodes(graph: onnx.GraphProto) -> None:
    """Name each node by the module that it is part of and its operator, in place.

    As torch's tracing exporter does: "/encoder/layer.0/output/dense/MatMul", and "..._1" for the
    second of a name. Nodes that do not say where they come from keep their names.
    """
    taken: Counter[str] = Counter()
    for node in graph.node:
        scopes = next((one.value for one in node.metadata_props if one.key == _SCOPES), None)
        if scopes is None:
            continue
        name = "".join(f"/{part}" for part in (*_parts(ast.literal_eval(scopes)), node.op_type))
        node.name = f"{name}_{taken[name]}" if taken[name] else name
        taken[name] += 1


def name_axes(graph: onnx.GraphProto, names: AxisNames) -> set[str]:
    """Give the sizes that inputs, outputs and values share with an open axis its name, in place.

    Args:
        graph: whose open sizes are called as the exporter likes.
        names: of the open axes of its inputs.

    Returns:
        The names of axes that are not open in the graph.
    """
    symbols: dict[str, str] = {}
    fixed: set[str] = set()
    for value in graph.input:
        for axis, label in names.get(value.name, {}).items():
            dim = value.type.tensor_type.shape.dim[axis]
            if not dim.dim_param:
                fixed.add(label)
                continue
            symbols.setdefault(dim.dim_param, label)
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _SYMBOL.sub(
                    lambda found: symbols.get(found[0], found[0]), dim.dim_param
                )
    return fixed


def _parts(scopes: Iterable[str]) -> list[str]:
    """Return the names of nested modules, each without its parent's; of a list with its number."""
    parts = []
    before = ""
    for scope in list(scopes)[:-1]:
        if scope and scope != before:
            atoms = scope.split(".")
            parts.append(".".join(atoms[-2:] if atoms[-1].isdigit() else atoms[-1:]))
            before = scope
    return parts
