"""The processors that code is generated for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding

from gossamer.errors import OptionError

# What code for ARM is compiled for where this is not such a machine.
_ARM = "aarch64-unknown-linux-gnu"


@dataclass(frozen=True)
class Target:
    """A processor: LLVM's triple, its name for the processor, and the features to use."""

    name: str
    triple: str
    cpu: str
    features: str
    registers: int
    """Vector registers of the width that `LANES` floats take, for register tiling."""

    @property
    def runs_here(self) -> bool:
        """Whether this process can run code for the target, not only compile it."""
        return bool(self.triple == binding.get_process_triple())

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
    """The target of that name.

    `host` is all that this processor has, `avx2` leaves AVX-512 unused, and `neon` is any 64-bit
    ARM processor; elsewhere than on such a one, code for it can be compiled but not run.

    Raises:
        OptionError: if there is no such target, or this processor cannot run `avx2`.
    """
    _initialize()
    triple = binding.get_process_triple()
    if name == "neon":
        return Target(name, triple if _is_arm(triple) else _ARM, "generic", "+neon", 8)
    features = binding.get_host_cpu_features()
    if name == "host":
        cpu = binding.get_host_cpu_name()
        registers = 32 if features.get("avx512f") else 8
        return Target(name, triple, cpu, str(features.flatten()), registers)
    if name == "avx2":
        if not features.get("avx2") or not features.get("fma"):
            raise OptionError("target 'avx2' needs a processor with AVX2 and FMA; use 'host'")
        return Target(name, triple, "haswell", "", 8)
    raise OptionError(f"no target named {name!r}; the targets are 'host', 'avx2' and 'neon'")


def _is_arm(triple: str) -> bool:
    return triple.startswith(("aarch64", "arm64"))
