"""Shape: the sizes of a tensor."""

from __future__ import annotations

from gossamer.runtime.expressions import KNOWN

NATIVE = {"Shape": KNOWN}
