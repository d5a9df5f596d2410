"""What the figures depend on besides the models: processor, cores, versions."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata
from typing import Any

from gossamer import machine
from gossamer.version import __version__

_PACKAGES = (
    "gossamer",
    "llvmlite",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "torch",
    "transformers",
)


def describe() -> dict[str, Any]:
    """Return processor, usable cores, load, platform and versions, ready for JSON.

    The load average counts busy processes over the last minute: well above zero before measuring,
    other programs share the cores, and latencies are longer than they need be.
    """
    return {
        "processor": processor(),
        "cores": machine.usable_processors(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": dict(_versions()),
    }


@cache
def _versions() -> dict[str, str]:
    """Return what is installed; read once in a process, since it takes tens of milliseconds."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    # Run from its sources, the package is not installed.
    versions["gossamer"] = __version__
    return versions


def processor() -> str:
    """Return the processor's name, as the system gives it."""
    return machine.processor_name()
