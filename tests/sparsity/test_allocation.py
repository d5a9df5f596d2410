from __future__ import annotations

import pytest

from gossamer.errors import OptionError
from gossamer.sparsity.allocation import uniform


def test_uniform_gives_all_the_same() -> None:
    assert uniform({"a": 10, "b": 1000}, 0.7) == {"a": 0.7, "b": 0.7}


def test_a_sparsity_outside_0_to_1_is_refused() -> None:
    with pytest.raises(OptionError, match="from 0 to 1"):
        uniform({"a": 1}, 2.0)
