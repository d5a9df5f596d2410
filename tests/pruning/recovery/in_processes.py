"""What each process of test_processes.py runs: recover, and write down what came of it.

python in_processes.py plain|accelerate INPUT OUTPUT
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from gossamer.pruning.recovery import recover


def main(how: str, given: str, out: str) -> None:
    torch.set_num_threads(1)
    # Written by the test itself a moment ago: modules, which only unpickling brings back.
    job = torch.load(given, weights_only=False)
    options: dict[str, Any] = dict(job["options"])
    # Adam would turn the rounding of gradients near 0 into steps of full size.
    options["optimizer"] = lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    if how == "accelerate":
        from accelerate import Accelerator

        options["accelerator"] = Accelerator(cpu=True)
    found = recover(job["sparse"], job["dense"], job["data"], **options)
    told = {
        "model": found.model.state_dict(),
        "history": [dict(point) for point in found.history],
        "processes": found.processes,
    }
    torch.save(told, f"{out}.{os.environ.get('RANK', '0')}")


if __name__ == "__main__":
    main(*sys.argv[1:])
