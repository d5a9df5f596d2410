"""Cast, CastLike: the same numbers in another type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from onnx import helper

from gossamer.graphs.operation import dtype_of
from gossamer.runtime.codegen.builder import F32, I1, Builder, Term
from gossamer.runtime.expansion import Expansion
from gossamer.runtime.expressions import elementwise
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.kernels.pointwise import Expression
from gossamer.runtime.native import Native


def _cast(b: Builder, expression: Expression, kind: Any, x: Term) -> Term:
    if kind == I1:
        return x.compare("!=", 0) if x.type != I1 else x
    if x.is_float and not isinstance(kind, (ir.FloatType, ir.DoubleType)):
        source = "f32" if x.type == F32 else "f64"
        return b.call(f"llvm.fptosi.sat.i{kind.width}.{source}", kind, x)
    return b.cast(x, kind)


def _cast_like(e: Expansion, node: Node) -> Sequence[Value]:
    kind = helper.np_dtype_to_tensor_dtype(dtype_of(node.input(1)))
    return [e("Cast", node.source(0), to=kind)]


NATIVE = {
    "Cast": elementwise(_cast, fits=lambda node: True, is_cheap=True),
    "CastLike": Native(expand=_cast_like),
}
