"""One model pruned once by one method: the process that `accuracy.py` starts.

It takes a job as JSON (see `Job` there), writes the tensors that the method changed as safetensors
and prints what it took. It needs torch, transformers and what the method itself needs, so that it
runs in any interpreter.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    loader = getattr(transformers, job["loader"])
    model = loader.from_pretrained(job["directory"], dtype=torch.float32).eval()
    dense = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    family, _, name = job["method"].partition("-")
    if family not in FAMILIES:
        family, name = "gossamer", job["method"]
    prune, version = FAMILIES[family](name, job)
    inputs = dict(np.load(job["calibration"]))
    begin, cpu = time.perf_counter(), time.process_time()
    model = prune(model, inputs)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    changed = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor, dense[name])
    }
    save_file(changed, job["out"])
    answer = {"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak_bytes()}
    print(json.dumps(answer | {"version": version}), flush=True)


def gossamer(name, job):
    """One of Gossamer's solvers, or `SOLVER+ALLOCATION`."""
    from gossamer import __version__
    from gossamer.pruning import sparsify

    solver, _, allocation = name.partition("+")
    options = {key: job[key] for key in ("sparsity", "pattern", "layers")}
    if allocation:
        options["allocation"] = allocation

    def prune(model, inputs):
        return sparsify(model, inputs, solver=solver, **options).model

    return prune, __version__


def torch_prune(name, job):
    """Magnitude pruning of torch.nn.utils.prune: within each layer, or over all together."""
    from torch.nn.utils import prune as library

    def prune(model, inputs):
        modules = [model.get_submodule(layer) for layer in job["layers"]]
        if name == "global":
            chosen = [(module, "weight") for module in modules]
            library.global_unstructured(chosen, library.L1Unstructured, amount=job["sparsity"])
        else:
            for module in modules:
                library.l1_unstructured(module, "weight", amount=job["sparsity"])
        for module in modules:
            library.remove(module, "weight")
        return model

    return prune, torch.__version__


def llmcompressor(name, job):
    """SparseGPT or Wanda of llm-compressor with its defaults, block after block."""
    from llmcompressor import oneshot
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
    from torch.utils.data import DataLoader

    modifier = {"sparsegpt": SparseGPTModifier, "wanda": WandaPruningModifier}[name]

    def prune(model, inputs):
        tensors = {key: torch.from_numpy(array) for key, array in inputs.items()}
        count, batch = len(next(iter(tensors.values()))), job["batch"]
        batches = [
            {key: tensor[start : start + batch] for key, tensor in tensors.items()}
            for start in range(0, count, batch)
        ]
        recipe = modifier(
            sparsity=job["sparsity"],
            mask_structure="0:0" if job["pattern"] == "unstructured" else job["pattern"],
            targets=job["layers"],
        )
        return oneshot(
            model=model,
            # Each item is a batch already.
            dataset=DataLoader(batches, batch_size=None),
            recipe=recipe,
            pipeline="sequential",
            sequential_targets=[job["block"]],
        )

    return prune, metadata.version("llmcompressor")


FAMILIES = {"gossamer": gossamer, "torch": torch_prune, "llmcompressor": llmcompressor}


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
