"""What this process may use of the machine: processors, cores and memory.

The affinity is that of the thread that asks. A container's limits are those of its control group
and of every group above it, in either version of the interface (docs.kernel.org,
admin-guide/cgroup-v2 and cgroup-v1). `root` is where the system's files lie.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
# Bytes, where the system does not tell.
_UNKNOWN = 1 << 40
# Threads meet after every kernel, at a counter that one after the other adds to (some 0.1 us each
# where the line comes from another core), while a kernel of a single sample takes 10 to 100 us.
_MOST_THREADS = 32


def processors() -> list[int]:
    """The numbers of the logical processors that this thread may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_processors(root: Path = _ROOT) -> int:
    """How many logical processors can be busy at once: by the affinity and the container's quota.

    Part of a processor counts as one, as in the run-times of Go and Java: a quota of 1.5 is 1.5
    times as much work done by two threads as by one.
    """
    return min(len(processors()), _quota(root))


def has_quota(root: Path = _ROOT) -> bool:
    """Whether the container has less than the time of the processors that the thread may run on."""
    return _quota(root) < len(processors())


def default_threads(root: Path = _ROOT) -> int:
    """Threads for one inference: a physical core each, within the quota; 32 at most.

    Two threads on one core share its multipliers, which one keeps busy.
    """
    shared = {_siblings(number, root) for number in processors()}
    return min(len(shared), _quota(root), _MOST_THREADS)


@cache
def memory(root: Path = _ROOT) -> int:
    """Bytes that the machine has in all, or the container that the process lives in."""
    sizes = [_UNKNOWN]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for folder in _groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            # The word `max` where there is no limit; in version 1 a number beyond any memory.
            with contextlib.suppress(ValueError, OSError):
                sizes.append(int((folder / name).read_text(encoding="ascii")))
    return min(size for size in sizes if size > 0)


def processor_name() -> str:
    """The processor's name, as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _siblings(number: int, root: Path) -> str:
    """The logical processors of one core, as the system lists them; itself where it does not."""
    folder = root / "sys/devices/system/cpu" / f"cpu{number}" / "topology"
    try:
        return (folder / "thread_siblings_list").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return str(number)


# Read once: limits seldom change while a process lives, and reading them takes longer than a run.
@cache
def _quota(root: Path) -> int:
    """How many processors' time the container has, rounded up."""
    least = sys.maxsize
    for folder in _groups("cpu", root):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            with contextlib.suppress(ValueError, OSError, ZeroDivisionError):
                words = " ".join((folder / name).read_text(encoding="ascii") for name in names)
                # Without a limit the first is the word `max`, in version 1 the number -1.
                quota, period = map(int, words.split())
                if quota > 0:
                    least = min(least, math.ceil(quota / period))
    return least


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the control groups that the process is in, as far up as can be seen."""
    try:
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    paths: dict[str, str] = {}
    for line in groups:
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        paths |= dict.fromkeys(controllers.split(","), path)
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        kind, _, options = [*rest.split(), "", "", ""][:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        if kind == "cgroup" and controller not in options.split(","):
            continue
        top, place = fields.split()[3:5]
        path = paths.get(controller if kind == "cgroup" else "", "/")
        mounted = root / place.lstrip("/")
        try:
            inner = PurePosixPath(path).relative_to(top)
        except ValueError:
            # Another namespace's path: what is mounted is the container's own group.
            inner = PurePosixPath()
        if ".." in inner.parts:
            inner = PurePosixPath()
        yield from (mounted / part for part in (inner, *inner.parents))
