"""Sparse training: weights go while the model learns, in three lines of any PyTorch loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gossamer import arguments
from gossamer.errors import ModelError, OptionError, shown
from gossamer.models.selection import choose_layers
from gossamer.models.torch_forms import check_present, computed_weights
from gossamer.models.torch_layers import find_layers
from gossamer.models.writing import Written, save_folder
from gossamer.pruning.masks import Masks, named_parameters, unwrapped
from gossamer.pruning.methods import get_method
from gossamer.pruning.methods.method import Moment
from gossamer.pruning.methods.trained_layer import TrainedLayer
from gossamer.sparsity.allocation import uniform
from gossamer.sparsity.erk import erk
from gossamer.sparsity.patterns import get_pattern
from gossamer.sparsity.registry import checked_sparsity, named
from gossamer.sparsity.schedules import get_schedule

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


_Shapes = Mapping[str, tuple[int, ...]]
_ALLOCATIONS: dict[str, Callable[[_Shapes, float], dict[str, float]]] = {
    "uniform": lambda shapes, sparsity: uniform(
        {name: math.prod(shape) for name, shape in shapes.items()}, sparsity
    ),
    "erk": erk,
}
# What optimizers call the mean of past gradients, which a weight that comes back has no use for.
_MOMENTS = ("momentum_buffer", "exp_avg")


class Sparsifier:
    """Makes a model sparse while it trains.

        sparsifier = gs.Sparsifier(sparsity=0.9, steps=epochs * len(loader))
        sparsifier.prepare(model, optimizer)
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
            sparsifier.step()
        sparsifier.finalize()

    Sparsity grows from `ramp[0] * steps` to `ramp[1] * steps` along the schedule; from then on the
    masks are fixed and the other weights make up for what is gone. Masked weights are zero after
    every step of the optimizer, whatever its momentum and decay do. `docs/training.md` tells about
    methods, checkpoints, several processes, mixed precision and accumulation.

    Args:
        sparsity: fraction of the pruned layers' weights that are zero in the end, 0 to 1.
        steps: calls of `step` in the whole training, which are the steps of the optimizer.
        method: "magnitude" (gradual; the default), "movement", "rigl" or "logsum".
        pattern: "unstructured", "block:RxC", "channel" or another of
            `gossamer.sparsity.patterns`.
        layers: a regular expression or the names of the layers to prune; None for the usual ones
            (a transformer keeps embeddings and head dense, others their first and last layer).
        schedule: "cubic", "linear" or "constant"; None for the method's own.
        allocation: "uniform" or "erk"; None for the method's own, or what the pattern allows.
        ramp: start and end of growing sparsity as fractions of `steps`; None for the method's own.
        every: steps from one renewal of the masks to the next; None for a hundredth of `steps`, at
            most 100.
        seed: of random masks (RigL).

    Raises:
        OptionError: if an argument is out of range or unknown.
    """

    def __init__(
        self,
        sparsity: float,
        *,
        steps: int | None = None,
        method: str = "magnitude",
        pattern: str = "unstructured",
        layers: str | Iterable[str] | None = None,
        schedule: str | None = None,
        allocation: str | None = None,
        ramp: tuple[float, float] | None = None,
        every: int | None = None,
        seed: int = 0,
    ) -> None:
        self.sparsity = checked_sparsity(sparsity)
        self.pattern = get_pattern(pattern)
        self.method = get_method(method)
        self._schedule_name = self.method.schedule if schedule is None else schedule
        self._schedule = get_schedule(self._schedule_name)
        own = self.method.allocation if self.pattern.sparsity is None else "uniform"
        self._allocation_name = own if allocation is None else allocation
        if self.pattern.sparsity is not None:
            self._take_fixed(self.pattern.sparsity)
        self._allocation = named("allocation", self._allocation_name, _ALLOCATIONS)
        self._choice = (
            layers
            if layers is None or isinstance(layers, str)
            else arguments.names("layers", layers)
        )
        self._ramp = _checked_ramp(self.method.ramp if ramp is None else ramp)
        self.steps = _checked_steps("steps", steps)
        self._every = _checked_steps("every", every)
        self._seed = arguments.whole("seed", seed, 0)
        self._step = 0
        self._layers: list[TrainedLayer] = []
        self._model: nn.Module | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._hook: RemovableHandle | None = None
        self._final: Masks | None = None
        self._loaded: Mapping[str, Any] | None = None

    @property
    def masks(self) -> Masks:
        """The masks as they are now, by parameter name; none before `prepare`."""
        return Masks({layer.name: layer.unfolded(layer.mask) for layer in self._layers})

    @property
    def current_sparsity(self) -> float:
        """Fraction of the pruned layers' weights that are zero now."""
        self._check_prepared("current_sparsity")
        weights = sum(layer.mask.numel() for layer in self._layers)
        kept = sum(int(layer.parameter.count_nonzero()) for layer in self._layers)
        return 1 - kept / weights

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Choose the layers and see to it that masked weights stay zero.

        Call it when the model is where it trains and the optimizer has been made; wrappers
        (DistributedDataParallel, `torch.compile`, Accelerate's optimizer) may be there or not.

        Raises:
            OptionError: if `steps` is missing, it was called before, or layers or a loaded state do
                not fit.
            ModelError: if the model has no prunable layers, or its weights are sharded or NaN.
        """
        if self._layers:
            raise OptionError("this sparsifier has a model already; make one for each training")
        if self.steps is None:
            raise OptionError(
                "steps is missing; give the number of optimizer steps of the whole training"
            )
        if not isinstance(model, torch.nn.Module):
            raise OptionError(f"the model is a {type(model).__name__}; give an nn.Module")
        # Accelerate's and Lightning's optimizers hold the real one, which runs the hooks.
        real = getattr(optimizer, "optimizer", optimizer)
        if not isinstance(real, torch.optim.Optimizer):
            raise OptionError(f"the optimizer is a {type(real).__name__}; give one of torch.optim")
        layers = self._trained_layers(unwrapped(model))
        if self._loaded is not None:
            self._resume(layers, self._loaded)
        else:
            random = torch.Generator().manual_seed(self._seed)
            for layer in layers:
                self.method.start(layer, self._sparsity_of(layer, 0), random)
                layer.apply()
        self._layers, self._model = layers, unwrapped(model)
        self._optimizer = real
        self._hook = self._optimizer.register_step_post_hook(lambda *_: self._after_optimizer())

    def step(self) -> None:
        """Count one step of the optimizer, and renew the masks where it is time to.

        Call it after `optimizer.step()`; not for micro-batches that only add to the gradient.

        Raises:
            OptionError: before `prepare` and after `finalize`.
        """
        self._check_prepared("step")
        if self._final is not None:
            raise OptionError("step() after finalize(): the masks are final; leave the call out")
        self._step += 1
        if self._step > self._last:
            return
        due = self._is_due(self._step)
        for layer in self._layers:
            layer.follow()
            self.method.after_step(layer)
            if due:
                self._renew(layer, self._step)

    def finalize(self) -> Masks:
        """Make the sparsity exact and let the optimizer go; a second call changes nothing.

        If training ended before the ramp did, what is missing is removed now.

        Returns:
            The masks; `Masks.hold` and `Masks.apply` keep the zeros in further training or merging.

        Raises:
            OptionError: before `prepare`.
        """
        self._check_prepared("finalize")
        if self._final is None:
            for layer in self._layers:
                layer.follow()
                if self._step < self._last:
                    self._renew(layer, self._last)
                layer.apply()
            assert self._hook is not None
            self._hook.remove()
            self._final = self.masks
        return self._final

    def save(self, folder: str | Path, *, example_inputs: Any = None) -> Written:
        """Write the trained model for deployment, in every form that there is.

        The folder is that of `gossamer.models.made.Made.save`: the sparse file with its graph, the
        ONNX file, `result.json`, and of a transformers module what `from_pretrained` loads.

        Args:
            folder: must not exist, or be empty.
            example_inputs: to trace the module with, as `gossamer.compile` takes them. A
                transformers text model needs none.

        Returns:
            The files, and what they do not hold.

        Raises:
            OptionError: before `finalize`.
            ModelError: if the model cannot be exported.
            DataError: if the example is missing or does not fit.
            OutputError: if the folder exists and is not empty, or cannot be written.
        """
        self._check_prepared("save")
        if self._final is None:
            raise OptionError("save() before finalize(), which makes the sparsity exact; call it")
        return save_folder(self._model, folder, self.to_dict(), example_inputs=example_inputs)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings and what came of them, layer by layer, ready for JSON.

        Raises:
            OptionError: before `prepare`.
        """
        self._check_prepared("to_dict")
        layers = []
        for layer in self._layers:
            weights = layer.parameter.numel()
            zeros = weights - int(layer.parameter.count_nonzero())
            told = {"name": layer.name, "weights": weights, "zeros": zeros}
            layers.append({**told, "sparsity": zeros / weights})
        return {**self._settings(), "sparsity": self.current_sparsity, "layers": layers}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: numbers, texts and tensors only.

        Take it after `step`, together with the state of model and optimizer.
        """
        self._check_prepared("state_dict")
        return {
            "step": self._step,
            "settings": self._settings(),
            "layers": {
                layer.name: {"mask": layer.mask.clone()}
                | {name: tensor.clone() for name, tensor in layer.state.items()}
                for layer in self._layers
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let `prepare` go on from a checkpoint instead of starting anew.

        Call it before `prepare`, which raises OptionError if the state is of other settings or
        another model. The model's own weights may be loaded before or after.

        Raises:
            OptionError: after `prepare`, which may have removed weights already, or if it is no
                such state.
        """
        if self._layers:
            raise OptionError("load_state_dict() after prepare(); call it before")
        if not _is_state(state):
            raise OptionError(
                f"{shown(state)} is no state of a sparsifier; give what state_dict() returned"
            )
        self._loaded = state

    def _take_fixed(self, sparsity: float) -> None:
        """Check that what is asked for is what the pattern (n:m) can have, up to its digits."""
        if abs(self.sparsity - sparsity) > 0.005 or self._allocation_name != "uniform":
            raise OptionError(
                f"pattern '{self.pattern.name}' has sparsity {sparsity:.3g} in every layer; give "
                "this sparsity, and no other allocation than uniform"
            )
        self.sparsity = sparsity

    def _resume(self, layers: list[TrainedLayer], state: Mapping[str, Any]) -> None:
        """Take over step, masks and what the method noted."""
        ours, theirs = self._settings(), state["settings"]
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise OptionError(
                    f"the checkpoint is of a sparsifier with {name} {theirs.get(name)!r}, this one "
                    f"has {value!r}; make it as it was"
                )
        shapes = {name: tensors["mask"].shape for name, tensors in state["layers"].items()}
        if shapes != {layer.name: layer.mask.shape for layer in layers}:
            raise OptionError("the checkpoint's layers are not this model's; load its own")
        self._step = state["step"]
        for layer in layers:
            tensors = {
                name: tensor.to(layer.parameter.device, copy=True)
                for name, tensor in state["layers"][layer.name].items()
            }
            layer.mask = tensors.pop("mask").bool()
            layer.state = tensors
            layer.apply()

    def _trained_layers(self, model: nn.Module) -> list[TrainedLayer]:
        if computed := computed_weights(model):
            warnings.warn(
                f"the weight of '{computed[0]}' is computed at every call and is not pruned "
                f"({len(computed)} such in all); call torch.nn.utils.prune.remove, "
                "remove_weight_norm or parametrize.remove_parametrizations first",
                stacklevel=3,
            )
        for name, parameter in model.named_parameters():
            check_present(name, parameter)
        found = find_layers(model)
        chosen = {layer.name for layer in choose_layers([one.layer for one in found], self._choice)}
        layers = [one for one in found if one.layer.name in chosen]
        names = {id(parameter): name for name, parameter in named_parameters(model)}
        shares = self._allocation(
            {one.layer.name: tuple(one.parameter.shape) for one in layers}, self.sparsity
        )
        for one in layers:
            if one.parameter.is_inference():
                raise ModelError(
                    f"the weight of '{one.layer.name}' was made in torch.inference_mode(), where "
                    "nothing learns; make or load the model outside of it"
                )
            if not one.parameter.isfinite().all():
                raise ModelError(f"the weight of '{one.layer.name}' has NaN or infinite values")
        return [
            TrainedLayer(names[id(one.parameter)], one, shares[one.layer.name], self.pattern)
            for one in layers
        ]

    @property
    def _first(self) -> int:
        """The step at which sparsity begins to grow."""
        assert self.steps is not None
        return round(self._ramp[0] * self.steps)

    @property
    def _last(self) -> int:
        """The step from which on masks are fixed."""
        assert self.steps is not None
        return max(1, round(self._ramp[1] * self.steps))

    @property
    def _interval(self) -> int:
        assert self.steps is not None
        return self._every or min(100, max(1, self.steps // 100))

    def _is_due(self, step: int) -> bool:
        """Whether masks are renewed at this step."""
        regular = step % self._interval == 0 and self._first <= step < self._last
        return regular or step == self._last

    def _progress(self, step: int) -> float:
        """Return how far the ramp is at a step, 0 to 1."""
        if step >= self._last:
            return 1.0
        return max(0.0, (step - self._first) / (self._last - self._first))

    def _sparsity_of(self, layer: TrainedLayer, step: int) -> float:
        """Return the sparsity that a layer has to have at a step."""
        if step < self._first:
            return 0.0
        progress = self._progress(step)
        # Exact at the end, whatever a schedule rounds.
        return layer.sparsity * (1.0 if progress >= 1 else self._schedule(progress))

    def _renew(self, layer: TrainedLayer, step: int) -> None:
        following = min(step + self._interval, self._last)
        moment = Moment(
            sparsity=self._sparsity_of(layer, step),
            next_sparsity=self._sparsity_of(layer, following),
            steps=max(1, following - step),
            progress=self._progress(step),
        )
        before = layer.mask
        self.method.renew(layer, moment)
        layer.apply()
        back = layer.unfolded(layer.mask & ~before)
        assert self._optimizer is not None
        for name, tensor in self._optimizer.state.get(layer.parameter, {}).items():
            if name in _MOMENTS and tensor.shape == back.shape:
                tensor.masked_fill_(back, 0)

    @torch.no_grad()
    def _after_optimizer(self) -> None:
        """Show the gradient to the method, and zero what the optimizer moved."""
        # A fused optimizer is called for infinite gradients too; the GradScaler then says so.
        found = getattr(self._optimizer, "found_inf", None)
        finite = found is None or float(found) == 0
        upcoming = self._step + 1
        for layer in self._layers:
            layer.follow()
            gradient = layer.parameter.grad
            if gradient is not None and finite and upcoming <= self._last:
                dense = gradient.to_dense() if gradient.is_sparse else gradient
                self.method.see_gradient(
                    layer, layer.matrix(dense).float(), due=self._is_due(upcoming)
                )
            layer.apply()

    def _settings(self) -> dict[str, Any]:
        """Return what must be the same for training to go on as if it had not stopped."""
        return {
            "sparsity": self.sparsity,
            "steps": self.steps,
            "method": self.method.name,
            "pattern": self.pattern.name,
            "schedule": self._schedule_name,
            "allocation": self._allocation_name,
            "ramp": list(self._ramp),
            "every": self._interval,
        }

    def _check_prepared(self, what: str) -> None:
        if not self._layers:
            raise OptionError(f"{what} needs a model; call prepare(model, optimizer) first")


def _checked_ramp(ramp: tuple[float, float]) -> tuple[float, float]:
    ends = arguments.numbers("ramp", ramp)
    if len(ends) != 2 or not 0 <= ends[0] <= ends[1] <= 1:
        raise OptionError(
            f"ramp is {shown(ramp)}; give the start and end of growing sparsity as fractions of "
            "the training, such as (0.1, 0.7)"
        )
    return ends[0], ends[1]


def _checked_steps(name: str, steps: float | None) -> int | None:
    """Return a number of steps; a fraction, as epochs divided by something give, is rounded up."""
    if steps is None:
        return None
    found = arguments.number(
        name, steps, lambda it: 1 <= it < 2**63, "a number of steps, 1 or more"
    )
    return math.ceil(found)


def _is_state(state: object) -> bool:
    """Whether this has the form of what `Sparsifier.state_dict` returns."""
    if not isinstance(state, Mapping):
        return False
    step, settings, layers = (state.get(name) for name in ("step", "settings", "layers"))
    return (
        isinstance(step, int)
        and step >= 0
        and isinstance(settings, Mapping)
        and isinstance(layers, Mapping)
        and all(
            isinstance(tensors, Mapping)
            and "mask" in tensors
            and all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
            for tensors in layers.values()
        )
    )
