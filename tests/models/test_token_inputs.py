from __future__ import annotations

import numpy as np
import pytest

from gossamer.models.token_inputs import can_be_cut, family, masks, per_token

MASK = np.array([[1, 1, 0], [1, 0, 0]])


def test_inputs_with_a_common_prefix_speak_of_the_same_tokens() -> None:
    names = ["input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask", "x"]
    assert [family(name) for name in names] == ["*", "*", "decoder_*", "decoder_*", "x"]
    assert masks(["decoder_attention_mask", "x", "attention_mask"]) == [
        "attention_mask",
        "decoder_attention_mask",
    ]


@pytest.mark.parametrize(
    ("name", "array", "each", "cut"),
    [
        ("input_ids", [[5, 6, 0], [7, 0, 1]], True, True),
        ("labels", [[5, 6, -100], [7, -100, -100]], True, True),
        ("labels", [[5, 6, 7], [7, 8, 9]], True, False),
        ("decoder_input_ids", [[5, 6, 0], [7, 0, 0]], False, False),
        ("input_ids", [[5.0, 6.0, 0.0], [7.0, 0.0, 0.0]], False, False),
        ("input_ids", [[5, 6], [7, 0]], False, False),
    ],
)
def test_what_is_cut_where_a_mask_has_only_padding_loses_nothing(
    name: str, array: list[list[float]], each: bool, cut: bool
) -> None:
    assert per_token(name, np.array(array), MASK) is each
    assert can_be_cut(name, np.array(array), MASK) is cut
