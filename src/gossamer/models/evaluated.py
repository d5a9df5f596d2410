"""What a user's `evaluate` receives, whatever the form of the model.

A module stays a module; while it is evaluated it also has a session's `run`, and takes arrays
(`gossamer.models.torch_evaluated.answering`). An ONNX model, in whatever file, is an `Evaluated`: a
session that can also be called as a module is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import numpy_helper

from gossamer.errors import DataError
from gossamer.models.onnx_feeds import as_kind

if TYPE_CHECKING:
    import torch

    from gossamer.models.onnx_model import OnnxModel
    from gossamer.models.torch_evaluated import Likeness

Array = np.ndarray[Any, Any]

# What transformers' models take an argument to be that is not given.
_NEUTRAL = {"attention_mask": 1, "token_type_ids": 0}
# What they are exported with, and how their main output is called.
_TRANSFORMERS = {"input_ids", "inputs_embeds", "pixel_values", "input_values", "input_features"}
_MAIN = {"logits", "last_hidden_state"}

FORM_ALONE = frozenset({"return_dict", "use_cache"})
"""Arguments of transformers' models of which only the form of what is returned can follow."""


class Outputs(tuple[Any, ...]):
    """Several outputs of an ONNX model: by number, by name and as attributes."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, named: Mapping[str, Any]) -> Outputs:
        """Return outputs by name, in order."""
        made = cls(named.values())
        made.names = tuple(named)
        return made

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self.names:
            raise KeyError(f"no output {key!r}; the outputs are {', '.join(self.names)}")
        return super().__getitem__(self.names.index(key))

    def __getattr__(self, name: str) -> Any:
        if name == "names" or name not in self.names:
            raise AttributeError(f"no output {name!r}")
        return self[name]


class Evaluated:
    """An ONNX model as `evaluate` receives it.

    - It is called with arrays or tensors, by position or by the names of its inputs, and answers in
      kind: tensors, on the device of those given, or arrays. One output comes as it is, several
      (and those of a transformers model) as `Outputs`.
    - Everything that the session has: `run(output_names, feeds)`, `get_inputs()`, ...
    - `eval()`, `train(False)`, `to(...)` and the like change nothing and return it; `parameters()`
      are the tensors of the ONNX model.
    - Beside a module of the same model, its likeness, it is called as that is and returns what that
      would: the arguments of its forward method, its `ModelOutput`, dictionaries and tuples, with
      None for tensors that the ONNX model does not give. It has the module's own attributes, and
      its methods work on the ONNX model; the module's weights and layers, which are not the ONNX
      model's, it does not have.

    Args:
        adapter: of the model.
        session: runs it.
        likeness: of a module that the user's function was written for.
    """

    training = False

    def __init__(self, adapter: OnnxModel, session: Any, likeness: Likeness | None = None) -> None:
        self._adapter, self._session, self._likeness = adapter, session, likeness

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; see the class.

        Raises:
            DataError: if an input is missing, unknown or does not fit.
        """
        given = self._by_name(args, kwargs) if self._likeness is None else None
        if given is None:
            assert self._likeness is not None
            given = self._likeness.bound(args, kwargs)
        feeds = self._feeds({name: given[name] for name in given if given[name] is not None})
        names = [value.name for value in self._adapter.graph.graph.output]
        results = dict(zip(names, self._session.run(None, feeds), strict=True))
        device = _device(given.values())
        if self._likeness is not None:
            return self._likeness.answer(args, kwargs, results, device)
        answers = {
            name: result if device is None else as_tensor(result, device)
            for name, result in results.items()
        }
        if len(answers) == 1 and not (_TRANSFORMERS & feeds.keys() and _MAIN & answers.keys()):
            return next(iter(answers.values()))
        return Outputs.of(answers)

    forward = __call__

    def run(self, output_names: Sequence[str] | None, feeds: Any, run_options: Any = None) -> Any:
        """Run the model as `onnxruntime.InferenceSession.run` does; tensors are taken too."""
        if isinstance(feeds, Mapping):
            feeds = {name: as_array(value) for name, value in feeds.items()}
        more = () if run_options is None else (run_options,)
        return self._session.run(output_names, feeds, *more)

    def eval(self) -> Evaluated:
        """Change nothing: an ONNX model always runs as in eval mode."""
        return self

    def train(self, mode: bool = True) -> Evaluated:
        """Change nothing; the ONNX model cannot be trained.

        Raises:
            DataError: if it is to be.
        """
        if mode:
            raise DataError(
                "an ONNX model cannot be put in training mode; evaluate it as it is, with eval()"
            )
        return self

    def to(self, *where: Any, **how: Any) -> Evaluated:
        """Change nothing: it runs where it was compiled for, and answers where it was asked."""
        return self

    cpu = cuda = float = double = half = bfloat16 = requires_grad_ = to

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the floating-point initializers of the ONNX model, by name, as tensors."""
        import torch

        apart = self._adapter.apart
        for tensor in self._adapter.graph.graph.initializer:
            array = apart.get(tensor.name)
            if array is None:
                array = numpy_helper.to_array(tensor)
            if array.dtype.kind == "f":
                yield tensor.name, torch.from_numpy(np.array(array))

    def parameters(self, *_: Any, **__: Any) -> Iterator[torch.Tensor]:
        """Yield the floating-point initializers of the ONNX model as tensors."""
        return (tensor for _, tensor in self.named_parameters())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_session" not in vars(self):
            raise AttributeError(name)
        if self._likeness is not None and self._likeness.has(name):
            return self._likeness.attribute(name, self)
        if not name.startswith("_") and hasattr(self._session, name):
            return getattr(self._session, name)
        raise AttributeError(
            f"no attribute {name!r}: the model is an ONNX model here; it can be called, and run "
            "with run(output_names, feeds)"
        )

    def __repr__(self) -> str:
        graph = self._adapter.graph.graph
        taken = ", ".join(one.name for one in self._adapter.inputs())
        return f"<ONNX model from {taken} to {', '.join(value.name for value in graph.output)}>"

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the model is called with by the names of its inputs."""
        names = [one.name for one in self._adapter.inputs()]
        if len(args) > len(names):
            raise DataError(f"the model takes {_listed(names)}, not {len(args)} arguments")
        given = dict(zip(names, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise DataError(f"the model was given {min(twice)!r} twice; give it once")
        given |= kwargs
        for name, value in given.items():
            if name not in names and value is True and name not in FORM_ALONE:
                raise DataError(f"an ONNX model has no option {name!r}; it takes {_listed(names)}")
        return given

    def _feeds(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the feeds for what the model is called with, of the types that it takes.

        Raises:
            DataError: if it does not take one of them, and cannot do without.
        """
        inputs = {one.name: one for one in self._adapter.inputs()}
        feeds = {name: as_array(given[name]) for name in given if name in inputs}
        others = {name: as_array(given[name]) for name in given if name not in inputs}
        others = {name: value for name, value in others.items() if _says(name, value)}
        if not feeds and len(others) == len(inputs):
            # Called otherwise by those who exported the model.
            feeds, others = dict(zip(inputs, others.values(), strict=True)), {}
        if others:
            raise DataError(
                f"the ONNX model takes {_listed(list(inputs))}, not {next(iter(others))!r}; leave "
                "it out, or export the model with it"
            )
        tokens = feeds.get("input_ids")
        for name, value in _NEUTRAL.items():
            if name in inputs and name not in feeds and tokens is not None:
                feeds[name] = np.full(np.shape(tokens), value, np.int64)
        return as_kind(self._adapter.graph.graph, feeds)


def as_array(value: Any) -> Any:
    """Return a tensor as an array, and the tensors in a list likewise; anything else as it is."""
    if isinstance(value, list | tuple) and any(hasattr(one, "detach") for one in value):
        return [as_array(one) for one in value]
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()


def as_tensor(result: Any, device: torch.device) -> Any:
    """Return a session's result as a tensor; a list of them likewise, and text as it is."""
    import torch

    if isinstance(result, list):
        return [as_tensor(one, device) for one in result]
    if not isinstance(result, np.ndarray) or result.dtype.kind not in "fiub":
        return result
    return torch.from_numpy(np.ascontiguousarray(result)).reshape(result.shape).to(device)


def _says(name: str, value: Any) -> bool:
    """Return whether an argument changes what a model gives, so that it cannot be left out."""
    if isinstance(value, bool | str) or name in FORM_ALONE:
        # An option, of which only the form of what is returned can follow.
        return False
    neutral = _NEUTRAL.get(name)
    return neutral is None or not bool((np.asarray(value) == neutral).all())


def _device(given: Any) -> torch.device | None:
    """Return the device of the first tensor; None without one."""
    for value in given:
        for one in value if isinstance(value, list | tuple) else (value,):
            if hasattr(one, "detach"):
                device: torch.device = one.device
                return device
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "no inputs"
