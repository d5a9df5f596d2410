"""Recovery: fine-tuning with fixed masks, distilling from the dense model."""

from __future__ import annotations

from gossamer.pruning.recovery.recover import recover
from gossamer.pruning.recovery.result import RecoveryResult

__all__ = ["RecoveryResult", "recover"]
