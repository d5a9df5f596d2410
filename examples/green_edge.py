"""From a sparse model to the power of a whole edge system: measure, place, compare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

import gossamer as gs
from gossamer.edge.joules import compared_joules
from gossamer.edge.scenario import read_scenario
from gossamer.edge.study import study
from gossamer.report.edge import print_edge

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(512, 2048), torch.nn.GELU(), torch.nn.Linear(2048, 512)
).eval()
result = gs.sparsify(model, torch.randn(256, 512), sparsity=0.9, solver="wanda")

# What one inference takes, dense in ONNX Runtime and sparse in Gossamer. On the command line
# `gossamer compare ... --json > proof.json` keeps it for `gossamer edge ... --compare proof.json`.
proof = gs.compare(model, result, torch.randn(16, 512), threads=1, min_time=1.0, max_time=4.0)
joules = dict(zip(("dense", "sparse"), compared_joules(proof.to_dict()), strict=True))

# Four base stations with a server each, four users that ask often, for this model is small.
scenario = read_scenario(Path(__file__).with_name("edge-scenario.yaml"))
busy = replace(scenario.tasks, inferences_per_second=(100.0,) * scenario.users.count)
scenario = replace(scenario, tasks=busy, realisations=3, sweep_sinr_target_db=(0.0, 12.0))
found = study(scenario, joules=joules, methods=["everywhere", "strongest"])
print_edge(found.to_dict())
