"""A module as a user's `evaluate` receives it, and a module as the likeness of an ONNX model."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.errors import DataError, ModelError
from gossamer.models.adapter import Batch
from gossamer.models.evaluated import as_array, as_tensor
from gossamer.models.torch_batches import forward_inputs, to_tensors
from gossamer.models.torch_outputs import all_outputs, main_outputs, rebuilt
from gossamer.runtime.feeds import check_mapping, check_names

if TYPE_CHECKING:
    from gossamer.runtime.ports import Port


@contextmanager
def answering(module: nn.Module, example: Batch | None = None) -> Iterator[nn.Module]:
    """Let a module also be used as a session is, until the block ends.

    It gets `run`, `get_inputs` and `get_outputs`, unless it has attributes of these names; and
    called with arrays it answers with arrays. Called with tensors, it is what it was.

    Args:
        module: in eval mode; the same object is what the block gets.
        example: inputs by name, from which it is known what the module gives.
    """
    arrays = _Arrays()
    hooks = (
        module.register_forward_pre_hook(arrays.take, with_kwargs=True, prepend=True),
        module.register_forward_hook(arrays.give),
    )
    # Partials, not methods: a copy of the module gets them for itself.
    added: dict[str, Callable[..., Any]] = {
        "run": partial(_run, module),
        "get_inputs": partial(_inputs, module, example),
        "get_outputs": partial(_outputs, module, example),
        # By which torch.jit.script, which would compile the hooks, asks for what it is to compile.
        "__prepare_scriptable__": partial(_plain, module),
    }
    added = {name: function for name, function in added.items() if not hasattr(module, name)}
    vars(module).update(added)
    try:
        yield module
    finally:
        for hook in hooks:
            hook.remove()
        for name in added:
            vars(module).pop(name, None)


class _Arrays:
    """Hooks by which a module takes arrays as tensors, and answers with arrays."""

    def __init__(self) -> None:
        self._given = False

    def take(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Make tensors of arrays, before forward runs."""
        self._given = any(isinstance(one, np.ndarray) for one in (*args, *kwargs.values()))
        return _tensors(module, args, kwargs) if self._given else None

    def give(self, module: nn.Module, args: tuple[Any, ...], returned: Any) -> Any:
        """Make arrays of tensors, after forward ran."""
        return rebuilt(returned, as_array) if self._given else None


def _plain(module: nn.Module) -> nn.Module:
    """Return a shallow copy of a module without what `answering` added."""
    made = copy.copy(module)
    held = vars(made)
    for name in [name for name, value in held.items() if isinstance(value, partial)]:
        if held[name].args[:1] == (module,):
            del held[name]
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        held[name] = OrderedDict(
            (key, hook)
            for key, hook in held[name].items()
            if not isinstance(getattr(hook, "__self__", None), _Arrays)
        )
    return made


def _tensors(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments for a module: arrays as tensors, all of them on its device."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))

    def placed(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return to_tensors(module, {"": value})[""]
        return rebuilt(value, lambda tensor: tensor.to(device))

    return tuple(map(placed, args)), {name: placed(value) for name, value in kwargs.items()}


def _run(
    module: nn.Module,
    output_names: Sequence[str] | None,
    feeds: Mapping[str, Any],
    run_options: Any = None,
) -> list[Any]:
    """Run a module as a session is run.

    Args:
        module: to run.
        output_names: as `gossamer.models.torch_outputs.main_outputs` calls them; all if None.
        feeds: arrays or tensors by the names of forward's arguments.
        run_options: of ONNX Runtime, which a module does not have.

    Returns:
        An array for each output.

    Raises:
        DataError: if the feeds are no mapping.
        OptionError: if the names are no list, or there is no output of one.
    """
    check_mapping(feeds)
    with torch.no_grad():
        given = to_tensors(module, {name: np.asarray(as_array(feeds[name])) for name in feeds})
        found = main_outputs(module, module(**given))
    return [as_array(found[name]) for name in check_names(output_names, list(found))]


def _inputs(module: nn.Module, example: Batch | None) -> list[Port]:
    """Return what a module takes: as in the example, without one the arguments that it needs."""
    from gossamer.runtime.ports import Port, observed

    if example is not None:
        return [observed(name, array) for name, array in example.items()]
    return [Port(one.name, [], "") for one in forward_inputs(module) if one.required]


def _outputs(module: nn.Module, example: Batch | None) -> list[Port]:
    """Return what a module gives for the example.

    Raises:
        DataError: if there is none.
    """
    from gossamer.runtime.ports import observed

    if example is None:
        raise DataError(
            "what a module gives is known by running it on data; give calibration data, or ask for "
            "all outputs with run(None, feeds)"
        )
    with torch.no_grad():
        found = main_outputs(module, module(**to_tensors(module, example)))
    return [observed(name, as_array(tensor)) for name, tensor in found.items()]


class Likeness:
    """A module as the likeness of an ONNX model: it says how that is called and what it returns.

    Args:
        module: of the same model, in eval mode; its weights play no part.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        # What the module returns for each way in which it was called, its tensors emptied.
        self._forms: dict[Any, tuple[Any, list[str]]] = {}

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the module is called with by the names of forward's arguments.

        Raises:
            TypeError: if forward does not take it.
        """
        signature = inspect.signature(self._module.forward)
        found = dict(signature.bind_partial(*args, **kwargs).arguments)
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                found |= found.pop(parameter.name, {})
            elif parameter.kind is parameter.VAR_POSITIONAL:
                more = found.pop(parameter.name, ())
                found |= {f"{parameter.name}_{number}": one for number, one in enumerate(more)}
        return found

    def answer(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        results: Mapping[str, Any],
        device: torch.device | None,
    ) -> Any:
        """Return results in the form in which the module returns its own.

        The module runs once for each way of being called, to see that form.

        Args:
            args: that it is called with.
            kwargs: likewise.
            results: arrays that the ONNX model gave, by output name.
            device: for tensors; None to answer with arrays.

        Raises:
            ModelError: if the results are not of the shapes that the module gives.
        """
        way = tuple(map(_way, args)), tuple((name, _way(kwargs[name])) for name in sorted(kwargs))
        if way not in self._forms:
            placed, named = _tensors(self._module, args, kwargs)
            with torch.no_grad():
                returned = self._module(*placed, **named)
            named_outputs = all_outputs(returned)
            self._check(named_outputs, results)
            self._forms[way] = rebuilt(returned, lambda one: one.new_empty(0)), list(named_outputs)
        form, names = self._forms[way]
        found = iter(_assigned(names, results))

        def change(one: Tensor) -> Any:
            result = next(found)
            if result is None or device is None:
                return result
            tensor = as_tensor(result, device)
            return tensor.to(one.dtype) if one.is_floating_point() else tensor

        return rebuilt(form, change)

    def has(self, name: str) -> bool:
        """Return whether the module has an attribute."""
        return hasattr(self._module, name)

    def attribute(self, name: str, model: Any) -> Any:
        """Return the module's attribute for the ONNX model `model`.

        Raises:
            AttributeError: if it is of the module's own layers and weights.
        """
        is_torchs = hasattr(nn.Module, name) or name in vars(nn.Module())
        static = inspect.getattr_static(self._module, name, None)
        if isinstance(static, property) and static.fget is not None and not is_torchs:
            return static.fget(model)
        if inspect.isfunction(static) and not is_torchs:
            return MethodType(static, model)
        value = getattr(self._module, name)
        owner = getattr(value, "__self__", None)
        if is_torchs or isinstance(value, nn.Module | Tensor) or isinstance(owner, nn.Module):
            raise AttributeError(
                f"no attribute {name!r}: the model is an ONNX model here, which has no layers and "
                "modules of PyTorch; it can be called, and run with run(output_names, feeds)"
            )
        return value

    @staticmethod
    def _check(expected: Mapping[str, Tensor], results: Mapping[str, Any]) -> None:
        for (name, one), result in zip(
            expected.items(), _assigned(list(expected), results), strict=True
        ):
            if result is not None and tuple(one.shape) != np.shape(result):
                raise ModelError(
                    f"the ONNX model gives an output of the shape {list(np.shape(result))} where "
                    f"the module gives {name!r} of {list(one.shape)}; compare models of one kind"
                )


def _assigned(names: Sequence[str], results: Mapping[str, Any]) -> list[Any]:
    """Return the result for each tensor of a module, by name or else in order; None without one."""
    if results.keys() <= set(names):
        return [results.get(name) for name in names]
    ordered = list(results.values())[: len(names)]
    return ordered + [None] * (len(names) - len(ordered))


def _way(value: Any) -> Any:
    """Return what of an argument may change the form of what is returned."""
    return "array" if isinstance(value, Tensor | np.ndarray) else repr(value)
