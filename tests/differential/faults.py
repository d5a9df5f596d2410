"""Faults that were once in the compiler, to show that the generator would find them again.

Each is an edit to the source of today, made as a module is imported; an edit that no longer applies
is an error. `python tests/differential find` looks for each of them.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

_OLD_CUT = """

def _cut(size, start, end, step, inferred):
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        whole = range(size)[slice(start, end, step)]
        return whole.start, step, len(whole)
    if step != 1:
        raise UnknownSize("a slice with steps depends on the input")
    if isinstance(end, int) and end < 0:
        end = size + end if -end <= (size if isinstance(size, int) else 1) else 0
    if isinstance(start, int) and start < 0:
        start = size + start if -start <= (size if isinstance(size, int) else 1) else 0
    if isinstance(end, int) and isinstance(size, Dim):
        if end < 2**31 - 1:
            raise UnknownSize("where a slice ends depends on the input")
        end = size
    elif isinstance(end, Dim) and isinstance(size, int):
        inferred.at_most(end, size)
    elif end != size and not end <= size:
        raise UnknownSize("where a slice ends depends on the input")
    count = end - start
    if not count >= 0:
        raise UnknownSize("whether a slice is empty depends on the input")
    return start, 1, count
"""

_BY_REFERENCE = """

def _by_onnx_runtime(node, opset):
    from onnx.reference import ReferenceEvaluator

    names = sorted({v.name for v in node.inputs if v is not None})
    infos = [onnx.ValueInfoProto(name=name) for name in names]
    outputs = [onnx.ValueInfoProto(name=v.name) for v in node.outputs if v.name]
    graph = helper.make_graph([to_proto(node)], "constant", infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    feeds = {v.name: v.data for v in node.inputs if v is not None}
    try:
        with np.errstate(all="ignore"):
            return [np.asarray(a) for a in ReferenceEvaluator(model).run(None, feeds)]
    except Exception:
        return None
"""


@dataclass(frozen=True)
class Edit:
    """A change to a module's source: some text instead of other, or, at its end, functions in
    place of those of the same names."""

    module: str
    old: str
    new: str


FAULTS: dict[str, tuple[Edit, ...]] = {
    "address 0 for a view of a constant": (
        Edit("runtime.plans", "        self._check()\n", ""),
        Edit(
            "runtime.steps",
            "                self._places[step.output] = self._places[step.source]",
            "                pass",
        ),
        Edit(
            "runtime.folding",
            "    if total is None or (",
            "    if total is None or (node.op == 'Reshape' and node.attributes) or (",
        ),
    ),
    "a slice of an open axis that may be shorter": (Edit("graphs.ops.slice", "", _OLD_CUT),),
    "batch normalisation folded by users of before": (
        Edit(
            "runtime.passes.fold_batch_norm",
            "    for node in list(graph.nodes):",
            "    users = graph.users()\n    for node in list(graph.nodes):",
        ),
        Edit(
            "runtime.passes.fold_batch_norm",
            "        if graph.only_user(conv.output) is not node:",
            "        if len(users.get(conv.output, [])) != 1 or conv.output in graph.outputs:",
        ),
    ),
    "half of a gelu taken for a gelu": (
        Edit("runtime.passes.fuse_gelu", "            if half_seen or abs(", "            if abs("),
    ),
    "batch normalisation in training mode": (
        Edit(
            "graphs.ops.normalization",
            "bool(tested and not training and",
            "bool(tested and",
        ),
    ),
    "a layer norm that loses an axis": (
        Edit("runtime.passes.fuse_layer_norm", "    if not reason_against(fused):", "    if True:"),
    ),
    "a clip whose least is above its most": (
        Edit(
            "runtime.codegen.math",
            "    x = b.select(x < low, b.number(x.type, low), x)\n"
            "    return b.select(x > high, b.number(x.type, high), x)",
            "    x = b.select(x > high, b.number(x.type, high), x)\n"
            "    return b.select(x < low, b.number(x.type, low), x)",
        ),
    ),
    "outputs without a name shared": (
        Edit("runtime.passes.share", "attributes, _asked(node))", "attributes, len(node.outputs))"),
    ),
    "gelu far below zero": (
        Edit(
            "runtime.codegen.math",
            "    value = x * _polynomial",
            "    x = _clamp(b, x, -limit, limit)\n    return x * _polynomial",
        ),
    ),
    "the largest of what holds NaN": (
        Edit(
            "runtime.kernels.reduction",
            "    return further | extreme.compare(",
            "    return further\n    return further | extreme.compare(",
        ),
    ),
    "sizes of a resize in 64 bits": (
        Edit("graphs.ops.resize", "int(np.float32(old) * factor)", "int(old * float(factor))"),
    ),
    "places of a resize in 64 bits": (
        Edit(
            "runtime.ops.resize",
            "    place = np.arange(after, dtype=_F)",
            "    place = np.arange(after, dtype=np.float64)",
        ),
        Edit(
            "runtime.ops.resize",
            "e.constant(_along(weight, axis, rank))",
            "e.constant(_along(weight.astype(_F), axis, rank))",
        ),
    ),
    "constants by ONNX's reference evaluator": (Edit("runtime.folding", "", _BY_REFERENCE),),
    "stale notes of inner values": (
        Edit(
            "runtime.hints",
            "        found |= _by_onnx_runtime(bare, wanted, symbols)",
            "        found |= {info.name: declared_value(info) for info in model.graph.value_info}",
        ),
    ),
    "attributes without a type": (
        Edit(
            "runtime.protos",
            "        if formal is not None and not formal.required:",
            "        if False:",
        ),
        Edit(
            "runtime.protos",
            "        elif isinstance(value, list) and not value:",
            "        elif False:",
        ),
    ),
    "swish of a type that nobody runs": (
        Edit(
            "runtime.passes.fuse_swish", "        if not reason_against(fused):", "        if True:"
        ),
    ),
    "indices of 32 bits": (
        Edit(
            "runtime.ops.gather",
            "w.b.cast(w.element(indices, index[axis : axis + depth]), I64)",
            "w.element(indices, index[axis : axis + depth])",
        ),
    ),
}


def undo(name: str) -> None:
    """Put a fault back, before anything of the compiler is imported."""
    if "gossamer.runtime" in sys.modules or "gossamer.graphs" in sys.modules:
        raise RuntimeError("the compiler is imported already")
    edits: dict[str, list[Edit]] = {}
    for edit in FAULTS[name]:
        edits.setdefault(f"gossamer.{edit.module}", []).append(edit)
    sys.meta_path.insert(0, _Finder(edits))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, edits: dict[str, list[Edit]]) -> None:
        self._edits = edits

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._edits:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(name, spec.origin, self._edits[name])
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, edits: list[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> Any:
        return compile(self.edited(), self.path, "exec")

    def edited(self) -> str:
        """The source with the faults in it.

        Raises:
            RuntimeError: if an edit does not apply.
        """
        text = self.get_data(self.path).decode()
        for edit in self._edits:
            if edit.old:
                applies = text.count(edit.old) == 1
            else:
                replaced = set(_functions(edit.new))
                applies = bool(replaced) and replaced <= set(_functions(text))
            if not applies:
                raise RuntimeError(
                    f"{self.path} no longer holds {edit.old or edit.new!r}; mend the edit"
                )
            text = text.replace(edit.old, edit.new) if edit.old else text + edit.new
        return text


def _functions(source: str) -> list[tuple[str, ...]]:
    """The functions at the top of a module, each with its parameters."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [(node.name, *(argument.arg for argument in node.args.args)) for node in found]


def check_edits() -> None:
    """Raise RuntimeError if an edit no longer applies."""
    for edits in FAULTS.values():
        for module in {edit.module for edit in edits}:
            name = f"gossamer.{module}"
            spec = importlib.util.find_spec(name)
            if spec is None or spec.origin is None:
                raise RuntimeError(f"there is no {name} any more; mend the edit")
            _Loader(name, spec.origin, [e for e in edits if e.module == module]).edited()
