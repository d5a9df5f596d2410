"""How each operator runs in generated code, in files of the same names as in `graphs/ops/`.

A file says `NATIVE`: how its operators run, by name, with their domain before it and a dot where
they are not of ONNX's own set.
"""

from __future__ import annotations

from gossamer.graphs.registry import collected, registered_name
from gossamer.runtime.graph import Node
from gossamer.runtime.native import LEFT, Native

NATIVE: dict[str, Native] = collected(__name__, __path__, "NATIVE")
"""How every operator that is known runs."""


def native(node: Node) -> Native:
    """How a node's operator runs."""
    return NATIVE.get(registered_name(node), LEFT)
