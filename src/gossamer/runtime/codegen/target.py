"""The processors that code is generated for: what they have, and what follows from it.

A target is named by a base and features beside it, as in `x86-64-v4+vnni+amx-int8`. The bases are
`host`, which is all that this processor has, the levels of the x86-64 psABI and `aarch64`. Code for
any of them compiles on any machine, as llvmlite holds every backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

from llvmlite import binding

from gossamer.errors import OptionError

Architecture: TypeAlias = Literal["x86-64", "aarch64"]


@dataclass(frozen=True)
class Feature:
    """What a processor may have: LLVM's names for it, and the features that come with it."""

    architecture: Architecture
    llvm: tuple[str, ...]
    implies: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Base:
    """LLVM's name for the least processor of its kind, and what that has."""

    architecture: Architecture
    cpu: str
    feature: str


# The first two are what the levels 3 and 4 of x86-64 add, whole.
FEATURES = {
    "avx2": Feature("x86-64", ("avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")),
    "avx512": Feature(
        "x86-64", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"), ("avx2",)
    ),
    "vnni": Feature("x86-64", ("avx512vnni",), ("avx512",)),
    "avx-vnni": Feature("x86-64", ("avxvnni",), ("avx2",)),
    "avx512-bf16": Feature("x86-64", ("avx512bf16",), ("avx512",)),
    "amx-int8": Feature("x86-64", ("amx-tile", "amx-int8")),
    "amx-bf16": Feature("x86-64", ("amx-tile", "amx-bf16")),
    "neon": Feature("aarch64", ("neon",)),
    "dotprod": Feature("aarch64", ("dotprod",), ("neon",)),
    "i8mm": Feature("aarch64", ("i8mm",), ("neon",)),
    "bf16": Feature("aarch64", ("bf16",), ("neon",)),
}
"""What targets may have, by name; `vnni` is that of AVX-512, `bf16` that of ARM."""

_BASES = {
    "x86-64-v3": _Base("x86-64", "x86-64-v3", "avx2"),
    "x86-64-v4": _Base("x86-64", "x86-64-v4", "avx512"),
    "aarch64": _Base("aarch64", "generic", "neon"),
}
_ALIASES = {"avx2": "x86-64-v3", "neon": "aarch64"}
# What code is compiled for where this machine is of another architecture.
_ELSEWHERE: dict[Architecture, str] = {
    "x86-64": "x86_64-unknown-linux-gnu",
    "aarch64": "aarch64-unknown-linux-gnu",
}


@dataclass(frozen=True)
class Target:
    """A processor: LLVM's triple, its name for the processor, and what that has."""

    name: str
    """The base, and those features that neither it nor one of the others brings."""
    triple: str
    cpu: str
    features: frozenset[str]
    """Those of `FEATURES`, with all that they imply."""
    llvm_features: str
    """What LLVM is told: `features`, and on `host` whatever else it knows of."""

    @property
    def registers(self) -> int:
        """Vector registers of the width that `LANES` floats take, for register tiling.

        AVX-512 has 32 of them. The 16 half as wide of AVX2 and the 32 of NEON, a quarter as wide,
        are 8.
        """
        return 32 if "avx512" in self.features else 8

    @property
    def runs_here(self) -> bool:
        """Whether this process can run code for the target, not only compile it."""
        return (
            bool(self.triple == binding.get_process_triple()) and self.features <= _host().features
        )

    def machine(self) -> Any:
        """LLVM's code generator for this target."""
        _initialize()
        return binding.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.llvm_features, opt=3, reloc="pic", jit=True
        )


@cache
def _initialize() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    binding.initialize_native_asmparser()


@cache
def target(name: str = "host") -> Target:
    """The target of that name: a base, and any features beside it, each after a `+`.

    The bases are `host`, all that this processor has; `x86-64-v3` (or `avx2`), AVX2 and FMA;
    `x86-64-v4`, AVX-512 too; and `aarch64` (or `neon`), any 64-bit ARM processor. The features are
    the names of `FEATURES`, and bring what they imply. Whether this processor has all of it is
    `Target.runs_here`.

    Raises:
        OptionError: if there is no such base, or none of its features has such a name.
    """
    _initialize()
    first, *more = name.split("+")
    base = _base(_ALIASES.get(first, first), name)
    architecture = _architecture(base.triple)
    known = [key for key, feature in FEATURES.items() if feature.architecture == architecture]
    for feature in more:
        if feature not in known:
            raise OptionError(
                f"target {name!r}: {base.name!r} has no feature {feature!r} to add; "
                f"those of its kind are {', '.join(known) or 'none'}"
            )
    added = _implied(more) - base.features
    if not added:
        return base
    named = sorted(added - _implied(other for key in added for other in FEATURES[key].implies))
    return Target(
        "+".join([base.name, *named]),
        base.triple,
        base.cpu,
        base.features | added,
        ",".join([base.llvm_features, _llvm(added)]),
    )


def _base(base: str, name: str) -> Target:
    if base == "host":
        return _host()
    if base not in _BASES:
        aliases = ", ".join(f"{alias} ({meant})" for alias, meant in _ALIASES.items())
        raise OptionError(
            f"no target named {name!r}; the targets are {', '.join(['host', *_BASES])} and by "
            f"older names {aliases}, each with any '+FEATURE' of its kind: {', '.join(FEATURES)}"
        )
    row = _BASES[base]
    here = binding.get_process_triple()
    triple = here if _architecture(here) == row.architecture else _ELSEWHERE[row.architecture]
    features = _implied([row.feature])
    return Target(base, triple, row.cpu, features, _llvm(features))


@cache
def _host() -> Target:
    triple = binding.get_process_triple()
    architecture = _architecture(triple)
    here = binding.get_host_cpu_features()
    # Every 64-bit ARM processor has NEON, also where LLVM cannot ask the system.
    found = {"neon"} if architecture == "aarch64" else set[str]()
    for key, feature in FEATURES.items():
        has = all(here.get(name) for name in feature.llvm)
        if feature.architecture == architecture and has and found.issuperset(feature.implies):
            found.add(key)
    return Target(
        "host", triple, binding.get_host_cpu_name(), frozenset(found), str(here.flatten())
    )


def _architecture(triple: str) -> Architecture | None:
    if triple.startswith(("aarch64", "arm64")):
        return "aarch64"
    return "x86-64" if triple.startswith(("x86_64", "amd64")) else None


def _implied(features: Iterable[str]) -> frozenset[str]:
    """The features and all that come with them."""
    found = frozenset(features)
    for feature in found:
        found |= _implied(FEATURES[feature].implies)
    return found


def _llvm(features: frozenset[str]) -> str:
    """LLVM's names for these features, in the order of the table."""
    names = [name for key, row in FEATURES.items() if key in features for name in row.llvm]
    return ",".join(f"+{name}" for name in dict.fromkeys(names))
