"""The processors that code is generated for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding

from gossamer.errors import OptionError


@dataclass(frozen=True)
class Target:
    """A processor: LLVM's triple, its name for the processor, and the features to use."""

    name: str
    triple: str
    cpu: str
    features: str
    registers: int
    """Vector registers of the width that `LANES` floats take, for register tiling."""

    def machine(self) -> Any:
        """LLVM's code generator for this target."""
        _initialize()
        return binding.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc="pic", jit=True
        )


@cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    binding.initialize_native_asmparser()


@cache
def target(name: str = "host") -> Target:
    """The target of that name: `host` (all that this processor has) or `avx2` (no AVX-512).

    Raises:
        OptionError: if there is no such target, or this processor cannot run it.
    """
    _initialize()
    triple = binding.get_process_triple()
    features = binding.get_host_cpu_features()
    wide = bool(features.get("avx512f"))
    if name == "host":
        cpu = binding.get_host_cpu_name()
        registers = 32 if wide else 8
        return Target(name, triple, cpu, str(features.flatten()), registers)
    if name == "avx2":
        if not features.get("avx2") or not features.get("fma"):
            raise OptionError("target 'avx2' needs a processor with AVX2 and FMA; use 'host'")
        return Target(name, triple, "haswell", "", 8)
    raise OptionError(f"no target named {name!r}; the targets are 'host' and 'avx2'")
