"""The processors that code is generated for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from llvmlite import binding

from gossamer.errors import OptionError
from gossamer.runtime.codegen import jit
from gossamer.runtime.codegen import target as module
from gossamer.runtime.codegen.target import FEATURES, target
from gossamer.runtime.kernels.kernel import source_of
from gossamer.runtime.kernels.layer_norm import LayerNorm

ARM = binding.get_process_triple().startswith(("aarch64", "arm64"))
BASES = {"x86-64": "x86-64-v3", "aarch64": "aarch64"}
EACH = [f"{BASES[feature.architecture]}+{name}" for name, feature in FEATURES.items()]


@pytest.fixture
def fresh_host() -> Iterator[None]:
    """Nothing is remembered of the processor, before or after."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    module._host.cache_clear()
    target.cache_clear()


def processor(monkeypatch: pytest.MonkeyPatch, triple: str, features: Iterable[str]) -> None:
    """Let LLVM say that this is a processor of that triple with those features."""
    said = binding.FeatureMap(dict.fromkeys(features, True))
    monkeypatch.setattr(binding, "get_process_triple", lambda: triple)
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: said)


class TestHost:
    def test_is_this_processor(self) -> None:
        host = target()
        assert host is target("host")
        assert host.cpu == binding.get_host_cpu_name()
        assert host.llvm_features == binding.get_host_cpu_features().flatten()
        assert host.runs_here
        assert host.machine() is not None

    def test_has_what_the_least_processor_of_its_kind_has(self) -> None:
        least = target("aarch64" if ARM else "x86-64-v3")
        assert target().features >= least.features
        assert least.runs_here

    def test_has_those_features_of_the_table_that_llvm_finds(
        self, monkeypatch: pytest.MonkeyPatch, fresh_host: None
    ) -> None:
        found = [
            "avx512f",
            "avx512bw",
            "avx512cd",
            "avx512dq",
            "avx512vl",
            "avx512vnni",
            "amx-tile",
        ]
        found += FEATURES["avx2"].llvm
        processor(monkeypatch, "x86_64-unknown-linux-gnu", found)
        assert target().features == {"avx2", "avx512", "vnni"}
        assert target("x86-64-v4+vnni").runs_here
        assert not target("x86-64-v4+vnni+amx-int8").runs_here
        assert not target("aarch64").runs_here

    def test_lacks_a_level_of_which_it_lacks_a_part(
        self, monkeypatch: pytest.MonkeyPatch, fresh_host: None
    ) -> None:
        processor(monkeypatch, "x86_64-unknown-linux-gnu", ["avx512f", *FEATURES["avx2"].llvm])
        assert target().features == {"avx2"}
        assert target().registers == 8
        assert not target("x86-64-v4").runs_here

    def test_has_neon_on_arm_whatever_llvm_finds(
        self, monkeypatch: pytest.MonkeyPatch, fresh_host: None
    ) -> None:
        processor(monkeypatch, "arm64-apple-darwin", ["dotprod"])
        assert target().features == {"neon", "dotprod"}
        assert target("aarch64").runs_here
        assert not target("aarch64+i8mm").runs_here
        assert target("aarch64").triple == "arm64-apple-darwin"
        assert target("x86-64-v3").triple == "x86_64-unknown-linux-gnu"

    def test_has_nothing_of_the_table_on_another_architecture(
        self, monkeypatch: pytest.MonkeyPatch, fresh_host: None
    ) -> None:
        processor(monkeypatch, "riscv64-unknown-linux-gnu", ["v"])
        assert target().features == frozenset()
        with pytest.raises(
            OptionError, match="no feature 'avx2' to add; those of its kind are none"
        ):
            target("host+avx2")


class TestName:
    @pytest.mark.parametrize(
        ("alias", "name"),
        [
            ("avx2", "x86-64-v3"),
            ("neon", "aarch64"),
            ("neon+dotprod", "aarch64+dotprod"),
            ("x86-64-v4+avx512", "x86-64-v4"),
            ("x86-64-v4+vnni+amx-int8", "x86-64-v4+amx-int8+vnni"),
            ("x86-64-v3+avx512+vnni", "x86-64-v3+vnni"),
        ],
    )
    def test_what_is_the_same_has_one_name(self, alias: str, name: str) -> None:
        assert target(alias) == target(name)
        assert target(alias).name == name

    def test_what_the_host_has_adds_nothing_to_it(self) -> None:
        assert target("+".join(["host", *target().features])) == target()

    @pytest.mark.parametrize("name", ["z80", "", "host ", "X86-64-V3", "z80+vnni", "+vnni"])
    def test_an_unknown_one_is_refused(self, name: str) -> None:
        with pytest.raises(OptionError) as told:
            target(name)
        assert str(told.value) == (
            f"no target named {name!r}; the targets are host, x86-64-v3, x86-64-v4, aarch64 and by "
            "older names avx2 (x86-64-v3), neon (aarch64), each with any '+FEATURE' of its kind: "
            "avx2, avx512, vnni, avx-vnni, avx512-bf16, amx-int8, amx-bf16, "
            "neon, dotprod, i8mm, bf16"
        )

    @pytest.mark.parametrize(
        ("name", "base", "feature"),
        [
            ("aarch64+sve9", "aarch64", "sve9"),
            ("aarch64+vnni", "aarch64", "vnni"),
            ("neon+", "aarch64", ""),
            ("aarch64++i8mm", "aarch64", ""),
        ],
    )
    def test_an_unknown_feature_is_refused(self, name: str, base: str, feature: str) -> None:
        with pytest.raises(OptionError) as told:
            target(name)
        assert str(told.value) == (
            f"target {name!r}: {base!r} has no feature {feature!r} to add; "
            "those of its kind are neon, dotprod, i8mm, bf16"
        )


class TestFeatures:
    @pytest.mark.parametrize(
        ("name", "features"),
        [
            ("x86-64-v3", {"avx2"}),
            ("x86-64-v4", {"avx2", "avx512"}),
            ("x86-64-v3+avx-vnni", {"avx2", "avx-vnni"}),
            ("x86-64-v3+avx512-bf16", {"avx2", "avx512", "avx512-bf16"}),
            ("x86-64-v4+vnni+amx-int8", {"avx2", "avx512", "vnni", "amx-int8"}),
            ("aarch64", {"neon"}),
            ("aarch64+dotprod+i8mm+bf16", {"neon", "dotprod", "i8mm", "bf16"}),
        ],
    )
    def test_bring_what_they_imply(self, name: str, features: set[str]) -> None:
        assert target(name).features == features

    def test_imply_only_those_before_them_in_the_table(self) -> None:
        # The host's are found in this order.
        names = list(FEATURES)
        for place, feature in enumerate(FEATURES.values()):
            assert set(feature.implies) <= set(names[:place])

    def test_are_told_to_llvm(self) -> None:
        assert target("x86-64-v3").llvm_features == "+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe"
        assert target("aarch64+i8mm").llvm_features == "+neon,+i8mm"
        both = target("x86-64-v4+amx-int8+amx-bf16").llvm_features
        assert both.endswith(",+avx512vl,+amx-tile,+amx-int8,+amx-bf16")

    @pytest.mark.parametrize(
        ("name", "registers"),
        [("x86-64-v3", 8), ("x86-64-v3+vnni", 32), ("x86-64-v4", 32), ("aarch64", 8)],
    )
    def test_give_the_registers(self, name: str, registers: int) -> None:
        assert target(name).registers == registers


@pytest.mark.parametrize("name", ["host", "x86-64-v3", "x86-64-v4", "aarch64", *EACH])
def test_objects_compile_for_every_target(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    made = target(name)
    code = jit.compile_object(source_of(LayerNorm(1e-5), made), made)
    if name != "host" and "linux" in made.triple:
        # The ELF header: its mark, and the number of the machine.
        assert code[:4] == b"\x7fELF"
        assert int.from_bytes(code[18:20], "little") == (183 if "aarch64" in name else 62)
    # LLVM only prints that it does not know a processor or a feature.
    assert capfd.readouterr() == ("", "")


def test_the_keys_of_kernels_tell_targets_apart() -> None:
    names = {"host", "x86-64-v3", "x86-64-v4", "aarch64", *EACH}
    names -= {"x86-64-v3+avx2", "aarch64+neon"}
    assert len({jit.key("", target(name)) for name in names}) == len(names)
