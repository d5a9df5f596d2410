"""The processors that code is generated for."""

from __future__ import annotations

import pytest
from llvmlite import binding

from gossamer.errors import OptionError
from gossamer.runtime.codegen.target import target


def test_the_host_is_this_processor() -> None:
    host = target()
    assert host.cpu == binding.get_host_cpu_name()
    assert host == target("host")
    assert host.machine() is not None


def test_avx2_leaves_avx512_unused() -> None:
    older = target("avx2")
    assert (older.cpu, older.registers) == ("haswell", 8)
    assert "avx512" not in older.features


def test_neon_is_there_on_every_machine_and_runs_on_arm() -> None:
    arm = target("neon")
    assert arm.triple.startswith(("aarch64", "arm64"))
    # 32 registers of 4 floats.
    assert arm.registers == 8
    assert arm.runs_here == (arm.triple == target("host").triple)
    assert target("host").runs_here


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(OptionError, match="no target named 'z80'; the targets are 'host'"):
        target("z80")
