"""What a process may use: affinity, the container's quota and memory, physical cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from gossamer import machine


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that shows sixteen logical processors."""
    monkeypatch.setattr(machine, "processors", lambda: list(range(16)))


def system(root: Path, files: Mapping[str, str]) -> Path:
    """A root folder with these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n", encoding="ascii")
    return root


V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


def version_2(root: Path, path: str, cpu_max: str = "max 100000") -> Path:
    files = {"proc/self/cgroup": f"0::{path}", "proc/self/mountinfo": V2}
    return system(root, files | {"sys/fs/cgroup/cpu.max": cpu_max})


def write(root: Path, folder: str, name: str, text: str) -> None:
    system(root, {f"sys/fs/cgroup/{folder}/{name}": text})


def test_without_control_groups_the_affinity_decides(tmp_path: Path) -> None:
    assert machine.usable_processors(tmp_path) == 16


@pytest.mark.parametrize(
    ("text", "processors"),
    [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)],
)
def test_a_quota_bounds_the_processors_and_part_of_one_counts(
    tmp_path: Path, text: str, processors: int
) -> None:
    root = version_2(tmp_path, "/", cpu_max=text)
    assert machine.usable_processors(root) == processors
    assert machine.default_threads(root) == processors


def test_a_quota_above_the_affinity_bounds_nothing(tmp_path: Path) -> None:
    root = version_2(tmp_path, "/", cpu_max="6400000 100000")
    assert machine.usable_processors(root) == 16
    assert not machine.has_quota(root)


def test_a_quota_below_it_is_one(tmp_path: Path) -> None:
    assert machine.has_quota(version_2(tmp_path, "/", cpu_max="300000 100000"))


def test_the_least_quota_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    root = version_2(tmp_path, "/pods/pod/container")
    write(root, "pods/pod/container", "cpu.max", "800000 100000")
    write(root, "pods/pod", "cpu.max", "300000 100000")
    write(root, "pods", "cpu.max", "max 100000")
    write(root, "pods/other", "cpu.max", "100000 100000")
    write(root, "pods/pod/container", "memory.max", "max")
    write(root, "pods/pod", "memory.max", str(3 << 20))
    assert machine.usable_processors(root) == 3
    assert machine.memory(root) == 3 << 20


def version_1(root: Path, path: str, top: str = "/") -> Path:
    mounts = (
        f"32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"35 31 0:32 {top} /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    )
    groups = f"5:cpuacct,cpu:{path}\n4:memory:{path}\n1:name=systemd:/\n0::/"
    return system(root, {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts})


def quota_1(root: Path, folder: str, quota: int, memory: int) -> None:
    write(root, f"cpu,cpuacct/{folder}", "cpu.cfs_quota_us", str(quota))
    write(root, f"cpu,cpuacct/{folder}", "cpu.cfs_period_us", "50000")
    write(root, f"memory/{folder}", "memory.limit_in_bytes", str(memory))


UNBOUNDED = 9223372036854771712


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    root = version_1(tmp_path, "/docker/abc")
    quota_1(root, "docker/abc", -1, UNBOUNDED)
    quota_1(root, "docker", 250_000, 5 << 20)
    quota_1(root, ".", -1, UNBOUNDED)
    assert machine.usable_processors(root) == 5
    assert machine.memory(root) == 5 << 20


def test_in_a_container_of_version_1_what_is_mounted_is_its_own_group(tmp_path: Path) -> None:
    """The path is the host's, and the mount begins there."""
    root = version_1(tmp_path, "/docker/abc/inner", top="/docker/abc")
    quota_1(root, ".", 200_000, 7 << 20)
    quota_1(root, "inner", 100_000, 6 << 20)
    assert machine.usable_processors(root) == 2
    assert machine.memory(root) == 6 << 20


@pytest.mark.parametrize("path", ["/../../elsewhere", "/elsewhere", ""])
def test_a_path_that_cannot_be_seen_leaves_the_groups_above(tmp_path: Path, path: str) -> None:
    root = version_2(tmp_path, path, cpu_max="400000 100000")
    write(root, ".", "memory.max", str(9 << 20))
    assert machine.usable_processors(root) == 4
    assert machine.memory(root) == 9 << 20


@pytest.mark.parametrize("text", ["", "max", "-1 100000", "0 0", "100000 0", "many few", "\xb2 1"])
def test_a_file_that_says_nothing_bounds_nothing(tmp_path: Path, text: str) -> None:
    root = version_2(tmp_path, "/")
    (root / "sys/fs/cgroup/cpu.max").write_text(text, encoding="latin-1")
    assert machine.usable_processors(root) == 16


def test_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = {topology.format(number): f"{number % 8},{number % 8 + 8}" for number in range(16)}
    root = system(tmp_path, siblings)
    assert machine.default_threads(root) == 8
    assert machine.usable_processors(root) == 16
    monkeypatch.setattr(machine, "processors", lambda: [0, 1, 2, 8, 9])
    assert machine.default_threads(root) == 3


def test_by_default_no_more_threads_than_gain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "processors", lambda: list(range(192)))
    assert machine.default_threads(tmp_path) == 32
    assert machine.usable_processors(tmp_path) == 192


def test_this_machine_has_processors_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 1 <= machine.default_threads() <= machine.usable_processors()
    assert machine.usable_processors() <= (os.cpu_count() or 1)
    assert machine.memory() >= 1 << 20
