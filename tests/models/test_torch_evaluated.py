"""A module as `evaluate` receives it: itself, and for that time also usable as a session is."""

from __future__ import annotations

import copy
import io
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.models.torch_evaluated import answering
from gossamer.models.torch_outputs import all_outputs, rebuilt

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


class Pair(NamedTuple):
    left: Any
    right: Any


@pytest.fixture
def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2).eval()


def test_it_runs_as_a_session_and_is_itself_again_afterwards(linear: nn.Module) -> None:
    before = set(vars(linear))
    expected = linear(torch.from_numpy(X)).detach().numpy()
    with answering(linear, {"input": X}) as model:
        assert model is linear
        (found,) = model.run(None, {"input": X.astype(np.float64)})
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(model.run(["output"], {"input": torch.tensor(X)})[0], found)
        taken, given = model.get_inputs()[0], model.get_outputs()[0]
        assert (taken.name, taken.shape, taken.type) == ("input", [None, 3], "tensor(float)")
        assert (given.name, given.shape, given.type) == ("output", [None, 2], "tensor(float)")
    assert set(vars(linear)) == before
    assert not linear._forward_hooks
    assert not linear._forward_pre_hooks
    with pytest.raises(TypeError):
        linear(X)


def test_called_with_arrays_it_answers_with_arrays(linear: nn.Module) -> None:
    expected = linear(torch.from_numpy(X))
    with answering(linear) as model:
        for given in (model(X), model(input=X), model(X.astype(np.float64))):
            np.testing.assert_array_equal(given, expected.detach().numpy())
        tensor = model(torch.from_numpy(X))
        assert torch.equal(tensor, expected)
        assert tensor.requires_grad
    linear.bfloat16()
    with answering(linear) as model:
        assert model(X).dtype == np.float32


def test_a_module_that_runs_by_itself_keeps_its_own_way(linear: nn.Module) -> None:
    class Runner(nn.Linear):
        def run(self, word: str) -> str:
            return f"{word}!"

    with answering(Runner(3, 2)) as model:
        assert model.run("go") == "go!"


def test_what_evaluate_makes_of_it_works_by_itself(linear: nn.Module) -> None:
    with answering(linear) as model:
        zeros = copy.deepcopy(model)
        nn.init.zeros_(zeros.weight)
        nn.init.zeros_(zeros.bias)
        assert not zeros.run(None, {"input": X})[0].any()
        assert model.run(None, {"input": X})[0].any()
        file = io.BytesIO()
        torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False).weight, linear.weight)


@pytest.mark.parametrize("make", [torch.jit.script, torch.fx.symbolic_trace, nn.DataParallel])
def test_evaluate_may_compile_and_wrap_it(linear: nn.Module, make: Any) -> None:
    tensor = torch.from_numpy(X)
    with answering(linear) as model:
        assert torch.equal(make(model)(tensor), linear(tensor))


def test_what_a_model_returns_is_rebuilt_in_its_own_kinds() -> None:
    from transformers.modeling_outputs import BaseModelOutput

    one, two, three = torch.ones(1), torch.ones(2), torch.ones(3)
    states = BaseModelOutput(last_hidden_state=one, hidden_states=(two, three))
    given = [(one, None, 7), Pair(two, {"a": three}), states]
    seen: list[torch.Tensor] = []

    def size(tensor: torch.Tensor) -> int:
        seen.append(tensor)
        return len(tensor)

    found = rebuilt(given, size)
    assert found[0] == (1, None, 7)
    assert found[1] == Pair(2, {"a": 3})
    assert isinstance(found[2], BaseModelOutput)
    assert (found[2].last_hidden_state, found[2][1]) == (1, (2, 3))
    assert [one.tolist() for one in seen] == [one.tolist() for one in all_outputs(given).values()]
    assert states.last_hidden_state is one
