from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossamer.pruning.search import highest_accepted


@given(limit=st.integers(0, 99))
def test_the_highest_accepted_step_is_found_in_at_most_seven_trials(limit: int) -> None:
    tried: list[float] = []

    def attempt(sparsity: float) -> float | None:
        tried.append(sparsity)
        return sparsity if sparsity <= limit / 100 else None

    found = highest_accepted(attempt)
    assert found == (limit / 100 if limit else None)
    assert len(tried) <= 7 and len(set(tried)) == len(tried)
    assert all(0 < sparsity < 1 for sparsity in tried)


def test_with_noise_what_is_found_was_accepted() -> None:
    accepted = {0.5: "a", 0.75: None, 0.62: "b", 0.68: None, 0.65: "c", 0.66: None}
    assert highest_accepted(lambda sparsity: accepted[sparsity]) == "c"
