"""Calibrating a PyTorch module part by part, so that later layers see earlier sparse outputs.

Where blocks follow each other directly, each batch's hidden state is kept and pushed from block to
block, so the whole walk costs about three runs of the model. Elsewhere, and for a batch that leaves
out blocks or changes what goes from one to the next, the model is run from its start for each group
of layers, and stopped as soon as the group has been seen.

With a dense twin beside it, the same batches are pushed through that one too, and each layer's
inputs come with the outputs that it should give. A group in a chain is then shown in parts, the
layers with the same inputs together, so that each sees what those before it have become.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from gossamer.models.adapter import Batch, Record
from gossamer.models.padding import Padding, without_padding
from gossamer.models.torch_axes import Tensors
from gossamer.models.torch_batches import calibrating, run, to_tensors
from gossamer.models.torch_calls import LayerCall, LayerCalls
from gossamer.models.torch_layers import TorchLayer, find_blocks, find_layers
from gossamer.models.torch_targets import Aiming, DenseCalls, in_pieces


class _Stop(BaseException):
    """Everything wanted of this run has been seen; no error that a forward might catch."""


@dataclass
class _Call:
    """One call of a block.

    Attributes:
        output: once it is there.
        entered: how often each tensor among its arguments, the hidden state first, had been changed
            in place when the block was called.
        left: the same of the hidden state that the block gave, when it gave it.
        changes: whether the block changes what it is given, so that it must not be run twice.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None
    entered: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    changes: bool = False

    def of(self, block: nn.Module) -> Callable[[], Any]:
        """Return what makes the call to a block."""
        return lambda: block(*self.args, **self.kwargs)

    def push(self, block: nn.Module) -> None:
        """Make the call, and become the one to the next block."""
        hidden = _hidden(self.of(block)())
        self.args, self.kwargs = _with_hidden(self, hidden)


@dataclass
class _Probe:
    """What a first run of the model shows.

    Attributes:
        order: the chosen layers, in the order of their first use.
        uses: how often a run uses each of them.
        chains: lists of blocks that directly follow each other.
    """

    order: list[str] = field(default_factory=list)
    uses: Counter[str] = field(default_factory=Counter)
    chains: list[list[str]] = field(default_factory=list)

    def stops(self, group: Sequence[str]) -> bool:
        """Return whether a run is over for a group once each of its layers has been used.

        A layer that the first batch uses never or several times, another may use more often.
        """
        return all(self.uses[name] == 1 for name in group)


class Walk:
    """One walk through a module; see `ModelAdapter.walk`.

    Args:
        model: in eval mode.
        batches: calibration batches.
        chosen: the layers to record, by name.
        record: receives their inputs.
        dense: the same module before any change, in eval mode: says what the layers should give.
        unreached: told of each layer that no batch reaches; such a layer, and one without gain, is
            then recorded with the unit vectors as its inputs, by which every solver goes by the
            weights' size alone.
        chains: push hidden states from block to block where possible.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        chosen: Mapping[str, TorchLayer],
        record: Record,
        *,
        dense: nn.Module | None = None,
        unreached: Callable[[str], None] | None = None,
        chains: bool = True,
    ) -> None:
        self._model = model
        self._twin = _Twin(dense, chosen) if dense is not None else None
        self._batches = batches
        self._chosen = chosen
        self._record = record
        self._unreached = unreached
        self._chains = chains
        self._seen: set[str] = set()
        self._padding = Padding()

    def run(self, groups: Sequence[Sequence[str]]) -> Iterator[list[str]]:
        """Record group after group in the order of use; yield each (part) before going on."""
        with calibrating(self._model):
            probe = self._probe()
            self._padding.learn(self._batches, partial(to_tensors, self._model), self._shapes)
        position = {name: index for index, name in enumerate(probe.order)}
        # Layers that the first batch does not use come last: other batches may use them.
        waiting = sorted(
            (list(group) for group in groups),
            key=lambda group: min(position.get(name, len(position)) for name in group),
        )
        chain_of = {block: chain for chain in probe.chains for block in chain}
        while waiting:
            block = self._block(waiting[0], chain_of)
            if block is None:
                group = waiting.pop(0)
                with calibrating(self._model):
                    self._record_from_start(group, probe)
                self._stand_in(group)
                yield group
                continue
            chain = chain_of[block]
            held = {
                holder: group
                for group in waiting
                if (holder := self._block(group, chain_of)) is not None and holder in chain
            }
            waiting = [group for group in waiting if group not in held.values()]
            yield from self._push(chain, held, probe)

    def _block(self, group: Sequence[str], chain_of: Mapping[str, list[str]]) -> str | None:
        """Return the one block of a chain that holds the whole group, if there is one."""
        blocks = {self._chosen[name].layer.block for name in group}
        block = blocks.pop() if len(blocks) == 1 else None
        return block if block in chain_of else None

    def _probe(self) -> _Probe:
        """Run the first batch and see what happens."""
        probe = _Probe()
        calls: list[tuple[str, _Call]] = []

        def entered(call: LayerCall) -> None:
            name = call.layer.layer.name
            if name not in probe.uses:
                probe.order.append(name)
            probe.uses[name] += 1

        chosen = [found for found in self._chosen.values() if found.layer.gain]
        with ExitStack() as stack:
            wanted = {found.layer.block for found in chosen}
            for name, block in _blocks(self._model).items() if self._chains else ():
                if name in wanted or any(w and _siblings(w, name) for w in wanted):
                    _watch(stack, name, block, calls)
            stack.enter_context(LayerCalls(chosen, entered=entered))
            run(self._model, self._batches[0], 1)
        probe.chains = _find_chains(calls)
        return probe

    def _shapes(self, tensors: Tensors) -> dict[str, list[tuple[int, ...]]]:
        """Run the model, and return the shapes of the layers' inputs in each use."""
        shapes: dict[str, list[tuple[int, ...]]] = {}

        def entered(call: LayerCall) -> None:
            shapes.setdefault(call.layer.layer.name, []).append(tuple(call.inputs.shape))

        seen = [found for found in self._chosen.values() if found.layer.gain]
        with LayerCalls(seen, entered=entered):
            self._model(**tensors)
        return shapes

    def _record_from_start(self, group: Sequence[str], probe: _Probe) -> None:
        """Record a group's inputs in every batch, running the model from its start."""
        for number, batch in enumerate(self._batches, start=1):
            dense = self._twin.see(group, batch, number) if self._twin else None
            self._observe(group, probe, batch, partial(run, self._model, batch, number), dense)

    def _push(
        self, chain: Sequence[str], held: Mapping[str, list[str]], probe: _Probe
    ) -> Iterator[list[str]]:
        """Record the groups within a chain of blocks, pushing hidden states through it."""
        blocks = _blocks(self._model)
        with calibrating(self._model):
            calls = _enter(self._model, chain, self._batches)
        if self._twin:
            self._twin.enter(chain, self._batches)
        left = len(held)
        for name in chain:
            block = blocks[name]
            group = held.get(name, [])
            dense: list[DenseCalls | None] = [None] * len(calls)
            if self._twin:
                dense = [*self._twin.push(name, group, self._batches)]
            shown = next((seen for seen in dense if seen is not None and seen.entering), None)
            for part in shown.parts(group) if shown else [group] if group else []:
                with calibrating(self._model):
                    for number, (call, batch) in enumerate(
                        zip(calls, self._batches, strict=True), start=1
                    ):
                        start = partial(run, self._model, batch, number)
                        forward = start if call is None else call.of(block)
                        self._observe(part, probe, batch, forward, dense[number - 1])
                self._stand_in(part)
                yield part
            left -= 1 if group else 0
            if left == 0:
                return
            with calibrating(self._model):
                for call in calls:
                    if call is not None:
                        call.push(block)

    def _observe(
        self,
        group: Sequence[str],
        probe: _Probe,
        batch: Batch,
        forward: Callable[[], Any],
        dense: DenseCalls | None,
    ) -> None:
        """Record a group's inputs while `forward` runs, and stop it when all have been seen."""
        left = set(group)
        stops = probe.stops(group)
        chosen = [self._chosen[name] for name in group if self._chosen[name].layer.gain]
        if not chosen:
            return

        def record(call: LayerCall, target: Tensor | None) -> None:
            layer = call.layer.layer
            for inputs, wanted in in_pieces(call, target):
                if layer.kind == "linear":
                    mask = self._padding.mask(batch, layer.name, inputs.shape, call.number)
                    inputs = without_padding(inputs, mask)
                    wanted = None if wanted is None else without_padding(wanted, mask)
                self._record(layer.name, inputs, wanted)
            self._seen.add(layer.name)
            left.discard(layer.name)
            if stops and not left:
                raise _Stop

        with suppress(_Stop):
            if dense is None:
                with LayerCalls(chosen, entered=lambda call: record(call, None)):
                    forward()
                return
            aiming = Aiming(dense.targets, record)
            with aiming.watching(chosen):
                forward()
            aiming.close()

    def _stand_in(self, group: Sequence[str]) -> None:
        """Record the layers of a group that no batch has reached, or whose inputs are not seen."""
        for name in group:
            if name in self._seen or self._unreached is None:
                continue
            layer = self._chosen[name].layer
            if layer.gain:
                self._unreached(name)
            self._record(name, layer.unit_inputs(), None)


class _Twin:
    """The dense module, run beside the one that is being changed."""

    def __init__(self, model: nn.Module, chosen: Mapping[str, TorchLayer]) -> None:
        self.model = model
        # Of the chain's present block, one a batch; None for a batch that has no chain.
        self._calls: list[_Call | None] = []
        self._layers = {
            found.layer.name: found
            for found in find_layers(model)
            if found.layer.name in chosen and found.layer.gain
        }

    def enter(self, chain: Sequence[str], batches: Sequence[Batch]) -> None:
        """Run every batch up to the first block of a chain."""
        with calibrating(self.model):
            self._calls = _enter(self.model, chain, batches)

    def see(self, group: Sequence[str], batch: Batch, number: int) -> DenseCalls:
        """Run a batch through the whole module, and return the calls of a group's layers."""
        seen = DenseCalls()
        with calibrating(self.model), seen.watching(self._named(group)):
            run(self.model, batch, number)
        return seen

    def push(
        self, name: str, group: Sequence[str], batches: Sequence[Batch]
    ) -> Iterator[DenseCalls]:
        """Push every batch through a block, and yield the calls of a group's layers in it."""
        block = _blocks(self.model)[name]
        layers = self._named(group)
        for number, (call, batch) in enumerate(zip(self._calls, batches, strict=True), start=1):
            if call is None:
                yield self.see(group, batch, number)
                continue
            seen = DenseCalls()
            with calibrating(self.model), seen.watching(layers):
                call.push(block)
            yield seen

    def _named(self, group: Sequence[str]) -> list[TorchLayer]:
        return [self._layers[name] for name in group if name in self._layers]


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    return {name: model.get_submodule(name) for name in find_blocks(model)}


def _siblings(one: str, other: str) -> bool:
    return one.rpartition(".")[0] == other.rpartition(".")[0]


def _watch(stack: ExitStack, name: str, block: nn.Module, calls: list[tuple[str, _Call]]) -> None:
    """Note every call of a block, until the stack closes."""
    entered: list[tuple[int, ...]] = []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        entered.append(_changes((args, *kwargs.values())))

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = _Call(args, kwargs, output, entered.pop(), _changes(_hidden(output)))
        call.changes = _changes((args, *kwargs.values())) != call.entered
        calls.append((name, call))

    stack.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
    stack.callback(block.register_forward_hook(after, with_kwargs=True).remove)


def _changes(value: Any) -> tuple[int, ...]:
    """Return how often each tensor in a value has been changed in place; -1 where unknown."""
    if isinstance(value, Tensor):
        return (-1 if value.is_inference() else int(value._version),)
    if isinstance(value, tuple):
        return tuple(count for item in value for count in _changes(item))
    return ()


def _find_chains(calls: Sequence[tuple[str, _Call]]) -> list[list[str]]:
    """Return the runs of blocks that can be fed by the block before and by nothing else.

    Each block must be called once, its hidden state be the very tensor that the block before gave,
    as it gave it, and all other arguments be the very ones of the chain's first block.
    """
    times = Counter(name for name, _ in calls)
    chains: list[list[str]] = []
    first = previous = None
    for name, call in calls:
        if times[name] > 1 or not _can_be_repeated(call):
            first = previous = None
            continue
        follows = (
            first is not None
            and previous is not None
            and _entering(call) is _hidden(previous.output)
            and call.entered[:1] == previous.left != (-1,)
            and call.entered[1:] == first.entered[1:]
            and _same_rest(call, first)
        )
        if follows:
            chains[-1].append(name)
        else:
            chains.append([name])
            first = call
        previous = call
    return [chain for chain in chains if len(chain) > 1]


def _entering(call: _Call) -> Any:
    """Return the hidden state that a block was given: its first argument."""
    if call.args:
        return call.args[0]
    return next(iter(call.kwargs.values()), None)


def _with_hidden(call: _Call, hidden: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if call.args:
        return (hidden, *call.args[1:]), call.kwargs
    first = next(iter(call.kwargs))
    return (), {**call.kwargs, first: hidden}


def _hidden(output: Any) -> Any:
    """Return the hidden state that a block gives: its output, or the first of several."""
    return output[0] if isinstance(output, tuple | list) else output


def _can_be_repeated(call: _Call) -> bool:
    """Return whether running the block twice is harmless: a cache object would remember."""
    if call.changes or not isinstance(_entering(call), Tensor):
        return False
    plain = Tensor | int | float | str | None

    def check(value: Any) -> bool:
        if isinstance(value, tuple):
            return all(check(item) for item in value)
        return isinstance(value, plain)

    return all(map(check, (*call.args, *call.kwargs.values())))


def _same_rest(call: _Call, first: _Call) -> bool:
    """Return whether two calls have the same arguments but for the hidden state."""
    rest, first_rest = _rest(call), _rest(first)

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, Tensor) or isinstance(other, Tensor):
            return one is other
        if isinstance(one, tuple) and isinstance(other, tuple):
            return len(one) == len(other) and all(map(same, one, other))
        return bool(one == other)

    return rest.keys() == first_rest.keys() and all(
        same(value, first_rest[key]) for key, value in rest.items()
    )


def _rest(call: _Call) -> dict[Any, Any]:
    if call.args:
        return {**dict(enumerate(call.args[1:])), **call.kwargs}
    return dict(list(call.kwargs.items())[1:])


def _enter(model: nn.Module, chain: Sequence[str], batches: Sequence[Batch]) -> list[_Call | None]:
    """Return what every batch calls a chain's first block with; None where it does not run so."""
    return [_entry(model, chain, batch, number) for number, batch in enumerate(batches, start=1)]


def _entry(model: nn.Module, chain: Sequence[str], batch: Batch, number: int) -> _Call | None:
    """Run a batch, and return its call of a chain's first block if it goes along the chain."""
    blocks = _blocks(model)
    calls: list[tuple[str, _Call]] = []
    with ExitStack() as stack:
        for name in chain:
            _watch(stack, name, blocks[name], calls)
        run(model, batch, number)
    if list(chain) not in _find_chains(calls):
        return None
    first = calls[0][1]
    return _Call(first.args, first.kwargs)
