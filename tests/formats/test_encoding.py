"""One tensor as mask and values: exact, and never larger than dense."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gossamer.errors import ModelError
from gossamer.formats.description import Malformed
from gossamer.formats.encoding import check, decode, encode

Array = np.ndarray[Any, Any]

DTYPES = st.sampled_from(
    ["float32", "float64", "float16", "int8", "uint8", "int64", "uint64", "bool", "complex64"]
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=40)


def bits(array: Array) -> bytes:
    return array.tobytes()


def sparse_matrix(sparsity: float, shape: tuple[int, int] = (256, 384)) -> Array:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal(shape).astype(np.float32)
    dense.reshape(-1)[rng.permutation(dense.size)[: round(sparsity * dense.size)]] = 0
    return dense


@settings(max_examples=150, deadline=None)
@given(data=st.data(), keep=st.floats(0, 1))
def test_any_array_comes_back_with_its_bits(data: st.DataObject, keep: float) -> None:
    array = data.draw(hnp.arrays(data.draw(DTYPES), data.draw(SHAPES)))
    dropped = np.random.default_rng(1).random(array.shape) >= keep
    array = np.where(dropped, np.zeros_like(array), array)
    tensor, parts = encode("w", array)
    check(tensor, parts)
    restored = decode(tensor, parts)
    assert restored.dtype == array.dtype
    assert restored.shape == array.shape
    assert tensor.nonzeros == np.count_nonzero(array)
    if tensor.encoding == "dense":
        assert bits(restored) == bits(array)
    else:
        assert bits(restored) == bits(np.where(array == 0, np.zeros_like(array), array))
        assert sum(part.nbytes for part in parts.values()) < array.nbytes


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 1.0])
def test_bytes_are_the_mask_plus_the_values_or_the_dense_bytes(sparsity: float) -> None:
    weight = sparse_matrix(sparsity)
    tensor, parts = encode("w", weight)
    stored = sum(part.nbytes for part in parts.values())
    assert stored == min(weight.nbytes, weight.size // 8 + np.count_nonzero(weight) * 4)
    assert tensor.encoding == ("dense" if sparsity == 0 else "sparse")


def test_at_ninety_percent_a_layer_takes_at_most_0135_of_its_dense_bytes() -> None:
    weight = sparse_matrix(0.9)
    _, parts = encode("w", weight)
    assert sum(part.nbytes for part in parts.values()) <= 0.135 * weight.nbytes


def test_negative_zero_counts_as_zero_in_a_sparse_tensor_and_keeps_its_sign_in_a_dense_one() -> (
    None
):
    weight = sparse_matrix(0.9)
    weight[weight == 0] = -0.0
    tensor, parts = encode("w", weight)
    assert tensor.encoding == "sparse"
    restored = decode(tensor, parts)
    np.testing.assert_array_equal(restored, weight)
    assert not np.signbit(restored[restored == 0]).any()

    vector = np.array([1.0, -0.0, 2.0], np.float32)
    tensor, parts = encode("b", vector)
    assert tensor.encoding == "dense"
    assert bits(decode(tensor, parts)) == bits(vector)


@pytest.mark.parametrize("sparsity", [0.0, 0.9])
def test_nan_is_no_zero_and_keeps_its_payload(sparsity: float) -> None:
    weight = sparse_matrix(sparsity)
    payloads = np.array([0x7FC00000, 0xFFC12345, 0x7F800001], np.uint32).view(np.float32)
    weight[0, :3] = payloads
    tensor, parts = encode("w", weight)
    assert bits(decode(tensor, parts)[0, :3]) == bits(payloads)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_element_types_that_numpy_lacks(dtype: Any) -> None:
    weight = sparse_matrix(0.8).astype(dtype)
    tensor, parts = encode("w", weight)
    check(tensor, parts)
    assert tensor.encoding == "sparse"
    restored = decode(tensor, parts)
    assert restored.dtype == weight.dtype
    assert bits(restored + dtype(0)) == bits(weight + dtype(0))


def test_fp16_values_restore_in_the_own_type_and_round_like_numpy() -> None:
    weight = sparse_matrix(0.9)
    tensor, parts = encode("w", weight, "fp16")
    check(tensor, parts)
    assert decode(tensor, parts).dtype == np.float32
    np.testing.assert_array_equal(decode(tensor, parts), weight.astype(np.float16))
    assert sum(part.nbytes for part in parts.values()) <= 0.085 * weight.nbytes


def test_fp16_counts_what_rounds_to_zero_as_zero() -> None:
    weight = np.full((64, 64), 1e-9, np.float32)
    weight[0] = 1
    tensor, parts = encode("w", weight, "fp16")
    assert tensor.nonzeros == 64
    check(tensor, parts)


def test_fp16_leaves_integers_and_bfloat16_alone() -> None:
    for array in (np.arange(9), np.arange(9).astype(ml_dtypes.bfloat16)):
        tensor, parts = encode("n", array, "fp16")
        assert tensor.values == array.dtype.name
        assert bits(decode(tensor, parts)) == bits(array)


def test_fp16_refuses_a_value_out_of_range_and_names_the_tensor() -> None:
    with pytest.raises(ModelError, match=r"'fc\.weight' holds -70000, beyond fp16.*values="):
        encode("fc.weight", np.array([1.0, -70000.0], np.float32), "fp16")


def test_fp16_keeps_an_infinity_that_was_there() -> None:
    tensor, parts = encode("w", np.array([np.inf, -np.inf], np.float32), "fp16")
    np.testing.assert_array_equal(decode(tensor, parts), [np.inf, -np.inf])


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(3, "complex128")])
def test_an_unknown_element_type_is_refused_by_name(array: Array) -> None:
    with pytest.raises(ModelError, match=r"'labels'.*convert it"):
        encode("labels", array)


def damaged(change: str) -> tuple[Any, dict[str, Array]]:
    tensor, parts = encode("w", sparse_matrix(0.9, (33, 31)))
    parts = {key: part.copy() for key, part in parts.items()}
    fields: dict[str, Any] = {}
    if change == "mask bit":
        parts["mask:w"][5] ^= 1
    elif change == "padding bit":
        parts["mask:w"][-1] |= 1
    elif change == "value":
        parts["values:w"][3] += 1
    elif change == "values lost":
        parts["values:w"] = parts["values:w"][:-1]
    elif change == "mask lost":
        parts["mask:w"] = parts["mask:w"][:-1]
    elif change == "type":
        parts["values:w"] = parts["values:w"].view(np.int32)
    elif change == "shape":
        fields = {"shape": (33, 63)}
    elif change == "count":
        fields = {"nonzeros": tensor.nonzeros - 1}
    return type(tensor)(**{**vars(tensor), **fields}), parts


@pytest.mark.parametrize(
    "change",
    [
        *("mask bit", "padding bit", "value", "values lost", "mask lost", "type", "shape"),
        "count",
    ],
)
def test_parts_that_contradict_the_description_are_found(change: str) -> None:
    tensor, parts = damaged(change)
    with pytest.raises(Malformed, match="'w'"):
        check(tensor, parts)


@pytest.mark.parametrize("change", ["mask bit", "padding bit"])
def test_the_count_of_the_mask_is_checked_even_under_a_matching_checksum(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor, parts = damaged(change)
    monkeypatch.setattr("gossamer.formats.encoding._checksum", lambda parts: tensor.crc32)
    with pytest.raises(Malformed, match=r"nonzeros instead of|longer than its shape"):
        check(tensor, parts)


def test_the_count_of_a_dense_tensor_is_checked() -> None:
    tensor, parts = encode("w", np.ones(7, np.float32))
    with pytest.raises(Malformed, match="7 nonzeros instead of 6"):
        check(type(tensor)(**{**vars(tensor), "nonzeros": 6}), parts)
