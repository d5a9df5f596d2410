"""Compare a dense and a sparse PyTorch model: what is saved, with intervals, and what is not."""

from __future__ import annotations

import torch

import gossamer as gs

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(512, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 512)
).eval()
calibration = torch.randn(256, 512)

result = gs.sparsify(model, calibration, sparsity=0.9, solver="wanda")
proof = gs.compare(model, result.model, torch.randn(16, 512), threads=1, min_time=2.0)
for candidate in proof.measured.candidates:
    print(f"{candidate.name:20} {candidate.latency_ms.median:.3f} ms  {candidate.speed_verdict}")
    print(f"{'':20} {candidate.energy.joules.median:.4f} J, {candidate.energy.method}")
