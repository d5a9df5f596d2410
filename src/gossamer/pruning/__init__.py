"""How: one-shot, the accuracy-guarded search, recovery and sparse training.

Recovery and sparse training need torch and are imported from their own modules.
"""

from __future__ import annotations

from gossamer.pruning.result import LayerResult, SparsifyResult, Trial
from gossamer.pruning.sparsify import sparsify

__all__ = ["LayerResult", "SparsifyResult", "Trial", "sparsify"]
