"""One operator, one place: what it is and how it runs stand in two files of one name."""

from __future__ import annotations

import pkgutil

import numpy as np
import pytest

from gossamer.graphs import ops as facts
from gossamer.graphs.ops import OPERATORS
from gossamer.runtime import ops
from gossamer.runtime.graph import Node, Value
from gossamer.runtime.native import LEFT
from gossamer.runtime.ops import NATIVE, native


def test_both_registries_know_the_same_operators() -> None:
    assert OPERATORS.keys() == NATIVE.keys()


def test_they_stand_in_files_of_the_same_names() -> None:
    one, other = ({m.name for m in pkgutil.iter_modules(p.__path__)} for p in (facts, ops))
    assert one == other
    for name in one:
        known, run = (__import__(f"{p.__name__}.{name}", fromlist=[name]) for p in (facts, ops))
        assert known.OPERATORS.keys() == run.NATIVE.keys()


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_what_runs_says_how(name: str) -> None:
    """What may be native has elements or calls; what is neither, nor written otherwise, is left."""
    how = NATIVE[name]
    if how.reason is not None:
        # A Conv becomes a Convolution before it is lowered.
        assert how.element or how.lower or name == "Conv"
    assert (how.element is None) == (how.operands is None)
    assert how is LEFT or how.reason or how.expand


def test_an_operator_of_another_set_is_not_onnx_s_own_of_the_name() -> None:
    node = Node("Relu", [Value("x", np.dtype(np.float32), (2,))], [Value("y")], domain="else")
    assert native(node) is LEFT
