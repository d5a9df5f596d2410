"""How: one-shot sparsification, the accuracy-guarded search, and recovery."""

from __future__ import annotations

from gossamer.pruning.recovery import RecoveryResult, recover
from gossamer.pruning.result import LayerResult, SparsifyResult, Trial
from gossamer.pruning.sparsify import sparsify

__all__ = ["LayerResult", "RecoveryResult", "SparsifyResult", "Trial", "recover", "sparsify"]
