"""Which axes are open, for modules that say exactly which sizes they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gossamer.errors import OptionError
from gossamer.models.torch_axes import find_open_axes

Inputs = dict[str, Tensor]


def takes(condition: Callable[..., bool]) -> Callable[[Any], bool]:
    return lambda tensors: condition(*(tuple(one.shape) for one in tensors.values()))


def ids(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.int64)


def test_samples_and_positions_are_open_where_they_can_change_together() -> None:
    example = {"input_ids": ids(10, 8), "attention_mask": ids(10, 8)}
    found = find_open_axes(takes(lambda one, other: one == other), example)
    both = {0: "batch", 1: "sequence"}
    assert found.names == {"input_ids": both, "attention_mask": both}
    assert [tuple(one.shape) for one in found.tensors.values()] == [(2, 8), (2, 8)]
    sizes = {label: tensors["input_ids"].shape for label, tensors in found.others()}
    assert sizes == {"batch": (3, 8), "sequence": (2, 7)}


@pytest.mark.parametrize("length", [7, 12])
def test_sizes_that_do_not_depend_on_each_other_have_names_of_their_own(length: int) -> None:
    example = {
        "input_ids": ids(2, 12),
        "attention_mask": ids(2, 12),
        "decoder_input_ids": ids(2, length),
    }
    found = find_open_axes(takes(lambda a, b, c: a == b and a[0] == c[0]), example)
    assert found.names == {
        "input_ids": {0: "batch", 1: "sequence"},
        "attention_mask": {0: "batch", 1: "sequence"},
        "decoder_input_ids": {0: "batch", 1: "decoder_input_ids_sequence"},
    }


def test_two_batches_that_only_meet_at_the_end_are_two() -> None:
    example = {"image": torch.ones(3, 16), "text": torch.ones(3, 16)}
    found = find_open_axes(takes(lambda image, text: True), example)
    assert found.names == {"image": {0: "batch"}, "text": {0: "text_batch"}}


def test_a_mask_goes_with_its_tokens_even_if_it_need_not() -> None:
    example = {"input_ids": ids(2, 8), "attention_mask": ids(2, 8)}
    found = find_open_axes(takes(lambda one, other: one[0] == other[0]), example)
    assert found.names["input_ids"] == found.names["attention_mask"] == {0: "batch", 1: "sequence"}


def test_what_cannot_change_keeps_the_example_s_size() -> None:
    # A recurrent network with the time first, and the state of its one layer.
    example = {"input": torch.ones(10, 3, 20), "hx": torch.ones(1, 3, 20)}
    found = find_open_axes(takes(lambda x, h: x[1] == h[1] and h[0] == 1), example)
    assert found.names == {"input": {0: "batch"}, "hx": {}}
    assert [tuple(one.shape) for one in found.tensors.values()] == [(2, 3, 20), (1, 3, 20)]
    fixed = find_open_axes(takes(lambda x: x == (5, 4)), {"x": torch.ones(5, 4)})
    assert fixed.names == {"x": {}} and fixed.tensors["x"].shape == (5, 4)


def test_one_sample_becomes_two_and_is_no_broadcast() -> None:
    broadcasts = takes(lambda a, b: a[0] == b[0] or 1 in (a[0], b[0]))
    found = find_open_axes(broadcasts, {"a": torch.ones(1, 4), "b": torch.ones(1, 4)})
    assert found.names == {"a": {0: "batch"}, "b": {0: "batch"}}
    assert found.tensors["a"].shape == found.tensors["b"].shape == (2, 4)


def test_numbers_and_empty_arrays_have_no_open_axis() -> None:
    example = {"scale": torch.tensor(2.0), "none": torch.ones(0, 3)}
    assert find_open_axes(takes(lambda *_: True), example).names == {"scale": {}, "none": {}}


def test_stated_axes_are_open_and_no_others() -> None:
    example = {"x": torch.ones(2, 5, 4)}
    found = find_open_axes(takes(lambda x: x[2] == 4), example, {"x": {1: "time"}})
    assert found.names == {"x": {1: "time"}}
    for stated, told in (
        ({"x": {2: "width"}}, "does not run when it has another size"),
        ({"x": {3: "width"}}, "which has 3"),
        ({"x": {-1: "width"}}, "an axis of 'x' in dynamic_axes is -1; give a whole number"),
        ({"x": {0.5: "width"}}, "an axis of 'x' in dynamic_axes is 0.5; give a whole number"),
        ({"x": {0: None}}, "calls an axis of 'x' None; give it a name"),
        ({"x": {0: ""}}, "calls an axis of 'x' ''; give it a name"),
        ({"x": [0]}, "give names by input and axis"),
        ("x", "dynamic_axes is 'x'; give names by input and axis"),
        ({"y": {0: "batch"}}, "no input of the example"),
    ):
        with pytest.raises(OptionError, match=told):
            find_open_axes(takes(lambda x: x[2] == 4), example, stated)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no element in the example; give an example with some"):
        find_open_axes(takes(lambda *_: True), {"x": torch.ones(0, 3)}, {"x": {0: "batch"}})
