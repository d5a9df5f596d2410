"""How: one-shot sparsification and the accuracy-guarded search."""

from __future__ import annotations

from gossamer.pruning.result import LayerResult, SparsifyResult, Trial
from gossamer.pruning.sparsify import sparsify

__all__ = ["LayerResult", "SparsifyResult", "Trial", "sparsify"]
