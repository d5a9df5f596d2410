from __future__ import annotations

import pytest

from gossamer.errors import OptionError
from gossamer.sparsity.schedules import SCHEDULES, get_schedule


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_never_falls_and_ends_at_all_of_it(name: str) -> None:
    schedule = get_schedule(name)
    values = [schedule(step / 20) for step in range(21)]
    assert values == sorted(values)
    assert values[0] >= 0 and values[-1] == 1


def test_the_cubic_schedule_is_that_of_the_paper() -> None:
    """Equation 1 with s_i = 0, s_f = 0.8, 100 steps: s_f + (s_i - s_f) * (1 - t / n)^3."""
    for step in (0, 13, 50, 100):
        assert 0.8 * get_schedule("cubic")(step / 100) == pytest.approx(
            0.8 + (0 - 0.8) * (1 - step / 100) ** 3
        )


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(OptionError, match="constant, cubic, linear"):
        get_schedule("sudden")
