"""Methods of sparse training, by name."""

from __future__ import annotations

from gossamer.pruning.methods.logsum import LogSum
from gossamer.pruning.methods.magnitude import Magnitude
from gossamer.pruning.methods.method import Method
from gossamer.pruning.methods.movement import Movement
from gossamer.pruning.methods.rigl import RigL
from gossamer.sparsity.registry import named

METHODS: dict[str, Method] = {
    method.name: method for method in (Magnitude(), Movement(), RigL(), LogSum())
}


def get_method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        OptionError: if there is none; the message lists the known ones.
    """
    return named("method", name, METHODS)
