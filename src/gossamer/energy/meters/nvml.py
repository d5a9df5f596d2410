"""NVIDIA's counter of total energy, through its management library (NVML).

The counter, nvmlDeviceGetTotalEnergyConsumption, counts millijoules since the driver was loaded,
from Volta on. It moves some ten to fifty times a second: Z. Yang, K. Adamek, W. Armour, Part-time
Power Measurements: nvidia-smi's Lack of Attention (2023).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from gossamer.energy.meters.meter import Kind, not_started
from gossamer.errors import MeterError, first_line

_SHORTEST_SECONDS = 1.0


class Nvml:
    """Joules of NVIDIA GPUs, whoever used them.

    Before a window begins or ends, work that PyTorch has queued on a GPU is waited for.

    Args:
        devices: indices of the GPUs; all by default.

    Raises:
        MeterError: if there is no driver, no GPU, or one without the counter.
    """

    name = "NVML"
    kind: Kind = "measured"
    shortest_seconds = _SHORTEST_SECONDS

    def __init__(self, devices: Sequence[int] | None = None) -> None:
        self._library = _library()
        try:
            self._library.nvmlInit()
            count = int(self._library.nvmlDeviceGetCount())
            indices = list(range(count)) if devices is None else list(devices)
            if not indices or not all(0 <= index < count for index in indices):
                raise MeterError(
                    f"GPU {', '.join(map(str, indices)) or '0'} is not there; this machine shows "
                    f"{count}"
                )
            self._gpus = [
                (index, self._library.nvmlDeviceGetHandleByIndex(index)) for index in indices
            ]
            self._names = [_decoded(self._library.nvmlDeviceGetName(gpu)) for _, gpu in self._gpus]
        except self._library.NVMLError as error:
            raise MeterError(
                f"NVIDIA's driver does not answer ({error}); check that nvidia-smi works"
            ) from error
        self._started: tuple[float, float] | None = None
        self._total()

    @classmethod
    def of_torch(cls, device: int) -> Nvml:
        """Meter one GPU by the number that PyTorch gives it, under CUDA_VISIBLE_DEVICES.

        Raises:
            MeterError: as of the class.
        """
        visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        if device < len(visible) and visible[device].isdigit():
            return cls([int(visible[device])])
        return cls([device])

    @property
    def method(self) -> str:
        """How the figure is made, in a few words."""
        return f"measured: NVML total energy of {', '.join(self._names)}"

    def start(self) -> None:
        """Begin a window, once the GPUs' queues are empty."""
        _synchronize()
        self._started = self._total(), time.perf_counter()

    def stop(self) -> float:
        """Return the joules since `start`, once the GPUs' queues are empty."""
        if self._started is None:
            raise not_started(self.name)
        _synchronize()
        before, begun = self._started
        seconds = time.perf_counter() - begun
        if seconds < self.shortest_seconds:
            raise MeterError(
                f"a window of {1e3 * seconds:.0f} ms is too short for NVML, whose counter moves "
                f"every 20 to 100 ms; measure {self.shortest_seconds:g} s or more"
            )
        joules = self._total() - before
        if joules < 0:
            raise MeterError(
                "the GPU's energy counter went backwards (its driver was loaded anew); measure "
                "this window again"
            )
        if joules == 0:
            raise MeterError(f"the GPU's energy counter did not move in {seconds:.2f} s")
        return joules

    def _total(self) -> float:
        joules = 0.0
        for (index, gpu), name in zip(self._gpus, self._names, strict=True):
            try:
                joules += self._library.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3
            except self._library.NVMLError as error:
                raise MeterError(
                    f"GPU {index} ({name}) cannot be read ({error}); it is too old for the counter "
                    "(before Volta), or was lost: see nvidia-smi"
                ) from error
        return joules


def _synchronize() -> None:
    """Wait for what PyTorch has queued on the GPUs that this process has used."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return
    try:
        for device in range(torch.cuda.device_count()):
            # Where nothing is held nothing runs; to ask would make a context there.
            if torch.cuda.memory_reserved(device):
                torch.cuda.synchronize(device)
    except RuntimeError as error:
        raise MeterError(
            f"a GPU's queue cannot be waited for ({first_line(error)}); see nvidia-smi"
        ) from error


def _library() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise MeterError(
            "NVIDIA's management library is not installed; install gossamer[gpu]"
        ) from error
    return pynvml


def _decoded(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
