"""What the figures depend on besides the models: processor, cores, versions."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from gossamer.energy.engines import usable_cores

_PACKAGES = ("gossamer", "llvmlite", "numpy", "onnx", "onnxruntime", "torch", "transformers")


def describe() -> dict[str, Any]:
    """Return processor, usable cores, platform and versions, ready for JSON."""
    import gossamer

    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    # Run from its sources, the package is not installed.
    versions["gossamer"] = gossamer.__version__
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
