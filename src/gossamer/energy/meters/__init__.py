"""Meters: what turns running into joules, measured where a counter exists, else estimated."""

from __future__ import annotations

from gossamer.energy.meters.cpu_time import CpuTimeEstimate
from gossamer.energy.meters.finding import Found, default_meters, find_meters
from gossamer.energy.meters.idle import AboveIdle, idle_watts
from gossamer.energy.meters.meter import Kind, Meter, not_started
from gossamer.energy.meters.nvml import Nvml
from gossamer.energy.meters.panel import Panel
from gossamer.energy.meters.rapl import Rapl

__all__ = [
    "AboveIdle",
    "CpuTimeEstimate",
    "Found",
    "Kind",
    "Meter",
    "Nvml",
    "Panel",
    "Rapl",
    "default_meters",
    "find_meters",
    "idle_watts",
    "not_started",
]
