"""The processors whose power their makers publish are found by the system's name for them."""

from __future__ import annotations

import pytest

from gossamer.energy.meters.published_power import published_power


@pytest.mark.parametrize(
    ("name", "watts", "cores"),
    [
        ("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", 210, 24),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", 145, 18),
        ("Intel(R) Xeon(R) Platinum 8480+", 350, 56),
        ("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", 15, 4),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", 28, 4),
        ("AMD EPYC 7763 64-Core Processor", 280, 64),
        ("AMD Ryzen 9 5950X 16-Core Processor", 105, 16),
        ("AMD Ryzen 7 PRO 5850U with Radeon Graphics", 15, 8),
    ],
)
def test_a_processor_is_known_by_its_name(name: str, watts: float, cores: int) -> None:
    found = published_power(name)
    assert found is not None
    assert (found.watts, found.cores) == (watts, cores)


@pytest.mark.parametrize("name", ["AMD EPYC", "AMD EPYC 77", "AMD EPYC 77421", "", "arm"])
def test_part_of_a_name_is_not_enough(name: str) -> None:
    assert published_power(name) is None
