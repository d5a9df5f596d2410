"""Allocations by name: from a job and an overall sparsity to a plan for every layer.

| name | a layer's sparsity |
| --- | --- |
| `uniform` | that of all |
| `erk` | less for layers with few weights for their sides |
| `global` | what one threshold over all layers' scores leaves |
| `sensitivity` | what loses least, by what each layer alone does to the outputs |
| `cost` | what loses least, by a search over mixes of solved layers |

`cost` also goes by a budget of energy, latency or bytes: see `Job.mix`.
"""

from __future__ import annotations

from collections.abc import Callable

from gossamer.errors import OptionError
from gossamer.models.adapter import Layer
from gossamer.pruning.job import Job
from gossamer.sparsity.allocation import Choice, one_threshold, settle, uniform
from gossamer.sparsity.erk import erk
from gossamer.sparsity.registry import checked_sparsity, named

# A sparsity that is given as 0.67 for 1:3 is meant to be that.
_NEAR = 0.01

Plan = dict[str, Choice]
Allocate = Callable[[Job, float], Plan]
"""From a job and the overall sparsity, 0 to 1, to the plan."""


def _uniform(job: Job, sparsity: float) -> Plan:
    return _one_pattern(job, uniform(job.weights, sparsity))


def _erk(job: Job, sparsity: float) -> Plan:
    shapes = {layer.name: shape_of(layer) for layer in job.layers}
    return _one_pattern(job, erk(shapes, sparsity))


def _global(job: Job, sparsity: float) -> Plan:
    return _one_pattern(job, one_threshold(job.scores, sparsity))


def _sensitivity(job: Job, sparsity: float) -> Plan:
    return _settled(job, job.mix_to(checked_sparsity(sparsity), searched=False), sparsity)


def _cost(job: Job, sparsity: float) -> Plan:
    return _settled(job, job.mix_to(checked_sparsity(sparsity), searched=True), sparsity)


ALLOCATIONS: dict[str, Allocate] = {
    "uniform": _uniform,
    "erk": _erk,
    "global": _global,
    "sensitivity": _sensitivity,
    "cost": _cost,
}


def get_allocation(name: str) -> Allocate:
    """Return the allocation of that name.

    Raises:
        OptionError: if there is none; the message lists the known ones.
    """
    return named("allocation", name, ALLOCATIONS)


def shape_of(layer: Layer) -> tuple[int, ...]:
    """Return a layer's sides: outputs, inputs, and its kernel's if it is a convolution."""
    taps = 1
    for side in layer.kernel:
        taps *= side
    return (layer.rows, layer.columns // taps, *layer.kernel)


def _one_pattern(job: Job, shares: dict[str, float]) -> Plan:
    if len(job.patterns) > 1:
        names = ", ".join(pattern.name for pattern in job.patterns)
        raise OptionError(
            f"several patterns ({names}) can only be mixed by allocation 'cost'; give one pattern"
        )
    (pattern,) = job.patterns
    own = pattern.sparsity
    if own is not None and any(abs(share - own) > _NEAR for share in shares.values()):
        raise OptionError(
            f"pattern '{pattern.name}' always has a sparsity of {own:g}; give that to every layer "
            "(allocation 'uniform'), let allocation 'cost' choose layers, or give another pattern"
        )
    return {name: Choice(pattern, share) for name, share in shares.items()}


def _settled(job: Job, plan: Plan, sparsity: float) -> Plan:
    """Return a plan that has the overall sparsity exactly, though levels come in steps.

    Layers whose pattern has one sparsity stay at that; without others it is met as nearly as they
    can.
    """
    removed = round(sparsity * sum(job.weights.values()))
    fixed = {name: choice for name, choice in plan.items() if choice.pattern.sparsity is not None}
    if fixed:
        own = sum(choice.sparsity * job.weights[name] for name, choice in fixed.items())
        free = {name: choice for name, choice in plan.items() if name not in fixed}
        if not free:
            return fixed
        sizes = {name: job.weights[name] for name in free}
        left = min(max((removed - own) / sum(sizes.values()), 0.0), 1.0)
        shares = settle({name: choice.sparsity for name, choice in free.items()}, sizes, left)
        return fixed | {name: Choice(free[name].pattern, shares[name]) for name in free}
    # Layers that are left dense stay so if the others can lose all that is to go.
    names = [name for name in job.names if name in plan] if plan else []
    if sum(job.weights[name] for name in names) < removed or not names:
        names = job.names
    shares = {name: plan[name].sparsity if name in plan else 0.0 for name in names}
    sizes = {name: job.weights[name] for name in names}
    settled = settle(shares, sizes, removed / sum(sizes.values()))
    return {
        name: Choice(plan[name].pattern if name in plan else job.patterns[0], share)
        for name, share in settled.items()
        if share > 0
    }
