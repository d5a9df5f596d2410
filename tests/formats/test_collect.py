"""The tensors of a model: names, order, types and ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gossamer.errors import ModelError
from gossamer.formats.collect import collect, to_torch


def test_a_module_gives_its_state_dict_in_order() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    names = [tensor.name for tensor in collect(module)]
    assert names == list(module.state_dict())


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
        *(torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64),
    ],
)
def test_every_element_type_goes_to_numpy_and_back(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
    (named,) = collect({"t": tensor})
    restored = to_torch(named.array)
    assert restored.dtype == dtype
    assert torch.equal(restored.view(torch.uint8), tensor.view(torch.uint8))


def test_views_and_gradients_and_sparse_layouts_become_plain_arrays() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "transposed": base.T,
        "parameter": torch.nn.Parameter(base),
        "coo": base.to_sparse(),
        "conjugate": torch.tensor([1 + 2j]).conj(),
    }
    arrays = {tensor.name: tensor.array for tensor in collect(tensors)}
    np.testing.assert_array_equal(arrays["transposed"], base.numpy().T)
    np.testing.assert_array_equal(arrays["parameter"], base.numpy())
    np.testing.assert_array_equal(arrays["coo"], base.numpy())
    np.testing.assert_array_equal(arrays["conjugate"], [1 - 2j])


def test_tied_tensors_share_their_memory_and_views_of_another_shape_do_not() -> None:
    weight = torch.ones(4, 4)
    memory = [
        t.memory for t in collect({"a": weight, "b": weight.view(4, 4), "c": weight.view(16)})
    ]
    assert memory[0] == memory[1] != memory[2]
    array = np.ones((4, 4))
    memory = [t.memory for t in collect({"a": array, "b": array[:], "c": array.T, "d": array[:2]})]
    assert memory[0] == memory[1]
    assert len(set(memory)) == 3


def test_big_endian_arrays_are_converted() -> None:
    (named,) = collect({"a": np.array([1, 2], ">i4")})
    assert named.array.dtype == np.dtype("<i4")
    np.testing.assert_array_equal(named.array, [1, 2])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (lambda: "bert", "entry 'w' is a str, not a tensor; leave it out"),
        (lambda: torch.empty(2, device="meta"), "'w' has no data .*; load"),
        (lambda: torch.nn.LazyLinear(3).weight, "'w' has no values yet.*; run one through"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantized;"),
        (lambda: torch.ones(2, dtype=torch.complex32), "'w' holds torch.complex32.*; convert"),
    ],
    ids=["text", "meta", "lazy", "quantized", "complex32"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_plain_tensor_is_refused_by_name(entry: Callable[[], Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        collect({"w": entry()})


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot save a list; give"):
        collect([1, 2])
    with pytest.raises(ModelError, match="tensor name 3 is not text"):
        collect({3: np.ones(2)})
