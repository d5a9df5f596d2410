"""RAPL, read from files like those that Linux shows."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gossamer.energy.meters import Rapl, rapl
from gossamer.errors import MeterError

RANGE = 262_143_328_850


def zone(root: Path, place: str, name: str, microjoules: int, most: int | None = RANGE) -> Path:
    folder = root / place
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    if most is not None:
        (folder / "max_energy_range_uj").write_text(f"{most}\n")
    return folder


@pytest.fixture
def two_sockets(tmp_path: Path) -> dict[str, Path]:
    """What a server of two sockets with counted memory shows, its mmio doubles included."""
    places = {
        "package-0": ("intel-rapl:0", 5_000_000),
        "core": ("intel-rapl:0:0", 3_000_000),
        "dram": ("intel-rapl:0:1", 1_000_000),
        "package-1": ("intel-rapl:1", 7_000_000),
        "psys": ("intel-rapl:2", 99_000_000),
    }
    found = {name: zone(tmp_path, place, name, start) for name, (place, start) in places.items()}
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_000)
    (tmp_path / "dtpm").mkdir()
    return found


def count(folder: Path, microjoules: int) -> None:
    # At once, as the kernel does: the watch may read at any time.
    (folder / "new").write_text(f"{microjoules}\n")
    (folder / "new").rename(folder / "energy_uj")


def window() -> None:
    time.sleep(1.2 * rapl._SHORTEST_SECONDS)


def test_packages_and_memory_are_added_and_nothing_is_counted_twice(
    tmp_path: Path, two_sockets: dict[str, Path]
) -> None:
    meter = Rapl(tmp_path)
    assert meter.method == (
        "measured: RAPL counters package-0, dram of package-0, package-1, all that ran on the "
        "machine"
    )
    meter.start()
    count(two_sockets["package-0"], 5_400_000)
    count(two_sockets["core"], 3_300_000)
    count(two_sockets["dram"], 1_030_000)
    count(two_sockets["package-1"], 7_200_000)
    count(two_sockets["psys"], 109_000_000)
    window()
    assert meter.stop() == pytest.approx(0.63)
    meter.start()
    count(two_sockets["dram"], 1_050_000)
    window()
    assert meter.stop() == pytest.approx(0.02)


def test_a_counter_that_wraps_goes_on(tmp_path: Path, two_sockets: dict[str, Path]) -> None:
    count(two_sockets["package-0"], RANGE - 100_000)
    meter = Rapl(tmp_path)
    meter.start()
    count(two_sockets["package-0"], 50_000)
    window()
    assert meter.stop() == pytest.approx(0.15)


def test_a_long_window_is_watched_so_that_no_wrap_is_missed(
    tmp_path: Path, two_sockets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rapl, "_WATCH_SECONDS", 0.02)
    most = 1_000_000
    (two_sockets["package-0"] / "max_energy_range_uj").write_text(str(most))
    count(two_sockets["package-0"], 0)
    meter = Rapl(tmp_path)
    meter.start()
    for value in (600_000, 200_000, 800_000, 400_000):
        count(two_sockets["package-0"], value)
        time.sleep(0.15)
    # 0.6, then 0.6 with a wrap, 0.6, 0.6 with a wrap.
    assert meter.stop() == pytest.approx(2.4)


def test_the_watch_ends_with_the_meter(
    tmp_path: Path, two_sockets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rapl, "_WATCH_SECONDS", 0.01)
    before = set(threading.enumerate())
    meter = Rapl(tmp_path)
    meter.start()
    watches = set(threading.enumerate()) - before
    del meter
    for watch in watches:
        watch.join(timeout=5)
    assert watches
    assert not any(watch.is_alive() for watch in watches)


def test_a_counter_that_goes_backwards_is_no_figure(
    tmp_path: Path, two_sockets: dict[str, Path]
) -> None:
    meter = Rapl(tmp_path)
    meter.start()
    count(two_sockets["package-1"], 1_000)
    window()
    with pytest.raises(MeterError, match=r"package-1 went backwards .* measure this window again"):
        meter.stop()
    meter.start()
    count(two_sockets["package-1"], 201_000)
    window()
    assert meter.stop() == pytest.approx(0.2)


def test_a_reset_that_only_the_watch_saw_spoils_the_window(
    tmp_path: Path, two_sockets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rapl, "_WATCH_SECONDS", 0.02)
    meter = Rapl(tmp_path)
    meter.start()
    count(two_sockets["package-0"], 1_000)
    time.sleep(0.15)
    count(two_sockets["package-0"], 201_000)
    with pytest.raises(MeterError, match="package-0 went backwards"):
        meter.stop()


def test_a_window_may_be_asked_again_as_it_goes_on(
    tmp_path: Path, two_sockets: dict[str, Path]
) -> None:
    meter = Rapl(tmp_path)
    meter.start()
    for microjoules, joules in ((5_100_000, 0.1), (5_300_000, 0.3)):
        count(two_sockets["package-0"], microjoules)
        window()
        assert meter.stop() == pytest.approx(joules)


def test_a_window_that_is_too_short_says_so(tmp_path: Path, two_sockets: dict[str, Path]) -> None:
    meter = Rapl(tmp_path)
    meter.start()
    count(two_sockets["package-0"], 5_400_000)
    with pytest.raises(MeterError, match=r"too short for RAPL.*measure 20 ms or more"):
        meter.stop()


def test_counters_that_stand_still_are_no_zero(
    tmp_path: Path, two_sockets: dict[str, Path]
) -> None:
    meter = Rapl(tmp_path)
    meter.start()
    window()
    with pytest.raises(MeterError, match=r"did not move.*use the estimate"):
        meter.stop()


def test_no_counters_are_explained(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match=r"no energy counters.*virtual machines hide them"):
        Rapl(tmp_path)
    with pytest.raises(MeterError, match="no energy counters"):
        Rapl(tmp_path / "nowhere")


def test_counters_that_may_not_be_read_name_the_remedy(
    tmp_path: Path, two_sockets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def refuse(self: Path, *args: object, **options: object) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(self))
        return read(self, encoding="ascii")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MeterError, match=r"package-0 may not be read; .*sudo chmod"):
        Rapl(tmp_path)


def test_a_counter_that_vanishes_or_holds_no_number_is_named(
    tmp_path: Path, two_sockets: dict[str, Path]
) -> None:
    meter = Rapl(tmp_path)
    meter.start()
    (two_sockets["dram"] / "energy_uj").write_text("many")
    window()
    with pytest.raises(MeterError, match=r"dram of package-0 cannot be read.*use the estimate"):
        meter.stop()
    (two_sockets["dram"] / "energy_uj").unlink()
    with pytest.raises(MeterError, match="dram of package-0 cannot be read"):
        meter.start()
