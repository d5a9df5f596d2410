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
proof = gs.compare(model, result, torch.randn(16, 512), threads=1, min_time=1.0, max_time=4.0)
for candidate in proof.measured.candidates:
    print(f"{candidate.name:20} {candidate.latency_ms.median:.3f} ms  {candidate.speed_verdict}")
    if candidate.energy.joules:
        print(f"{'':20} {candidate.energy.joules.median:.5f} J, {candidate.energy.kind}")
for note in proof.measured.notes:
    print(note)
print(proof.verdict)
if proof.payback:
    print(proof.payback.says)
