"""A model card for the Hugging Face hub: metadata first, then what was done and what it saves."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gossamer.errors import OptionError, OutputError
from gossamer.files import atomic_path
from gossamer.quantities import count, figures, percent, quantity, size

Document = Mapping[str, Any]

_UNKNOWN = (
    "nothing is known of how the model was made sparse; give what sparsify returned, or the folder "
    "that gossamer sparsify wrote"
)
CARD_FILE = "README.md"
"""What the hub takes for a model's card."""


def has_cards() -> bool:
    """Return whether what makes model cards is installed: huggingface_hub."""
    return importlib.util.find_spec("huggingface_hub") is not None


def check_card(path: Path, known: bool) -> None:
    """Check that a card can be written, before the work that it is to tell of.

    Args:
        path: of the file.
        known: whether it is known how the model was made sparse.

    Raises:
        OptionError: if huggingface_hub is missing, or nothing is known of the model.
        OutputError: if the folder is missing or cannot be written.
    """
    if not has_cards():
        raise OptionError("a model card needs huggingface_hub; install gossamer[transformers]")
    if not known:
        raise OptionError(_UNKNOWN)
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OutputError(f"{path} cannot be written; choose a folder that is there and can be")


def write_card(path: Path, sparsified: Document | None, proof: Document | None = None) -> None:
    """Write a model card; see `model_card`.

    Raises:
        OptionError: if huggingface_hub is missing, or nothing is known of the model.
        OutputError: if the file cannot be written.
    """
    text = model_card(sparsified, proof)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def model_card(
    sparsified: Document | None,
    proof: Document | None = None,
    *,
    base_model: str | None = None,
) -> str:
    """Return a Markdown model card, ready to be pushed as README.md.

    Its metadata block holds the sparsity, and the grams of CO2 that sparsifying stands for where
    the proof knows the grid (`country`): `co2_eq_emissions`, as the hub reads it.

    Args:
        sparsified: `SparsifyResult.to_dict()`; by default that in the proof.
        proof: `Proof.to_dict()`, for what the model saves.
        base_model: the hub's name of the dense model.

    Raises:
        OptionError: if huggingface_hub is missing, or nothing is known of the model.
    """
    if not has_cards():
        raise OptionError("a model card needs huggingface_hub; install gossamer[transformers]")
    if sparsified is None:
        sparsified = proof["sparsified"] if proof else None
    if sparsified is None:
        raise OptionError(_UNKNOWN)
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="gossamer",
        base_model=base_model,
        tags=["sparse", "pruned", "energy-efficient"],
        sparsity=round(sparsified["sparsity"], 4),
        model_sparsity=round(sparsified["model_sparsity"], 4),
        **_emissions(proof),
    )
    parts = [f"---\n{data.to_yaml()}\n---", "# A sparse model", *_made(sparsified)]
    if proof is not None:
        parts += _saved(proof)
    parts.append(
        "## How to run it\n\n"
        "```python\nimport gossamer as gs\n\n"
        'session = gs.compile("model.gossamer.safetensors")\n'
        "outputs = session.run(None, inputs)\n```"
    )
    return "\n\n".join(parts) + "\n"


def _emissions(proof: Document | None) -> dict[str, Any]:
    told = proof["payback"] if proof else None
    if proof is None or told is None or told["spent_grams"] is None:
        return {}
    grid = proof["grid"]
    return {
        "co2_eq_emissions": {
            "emissions": float(f"{told['spent_grams']:.3g}"),
            "source": f"{told['spent']['method']}; {grid['grams_per_kwh']:g} g/kWh, "
            f"{grid['source']}",
            "training_type": "pruning",
            "hardware_used": proof["environment"]["processor"],
        }
    }


def _made(sparsified: Document) -> list[str]:
    spent = sparsified["energy_spent"]
    lines = [
        f"{percent(sparsified['sparsity'])} of the {count(sparsified['weights'])} weights in "
        f"{len(sparsified['layers'])} layers are zero, {percent(sparsified['model_sparsity'])} of "
        f"the whole model's {count(sparsified['model_weights'])}. Made with solver "
        f"`{sparsified['solver']}`, pattern `{sparsified['pattern']}` and allocation "
        f"`{sparsified['allocation']}`; it took {quantity(spent['joules'] / 3600, 'Wh')} "
        f"({spent['method']})."
    ]
    if sparsified["drop_measured_on"]:
        final = "final_" if sparsified["final_score"] is not None else ""
        interval = sparsified[f"{final}drop_interval"]
        within = f" (95 % interval {interval[0]:+.4f} to {interval[1]:+.4f})" if interval else ""
        lines.append(
            f"Score {sparsified[f'{final}dense_score']:.4f} dense, "
            f"{sparsified[f'{final}score']:.4f} sparse: a drop of "
            f"{sparsified[f'{final}drop']:+.4f}{within}, measured on "
            f"{sparsified['drop_measured_on']}."
        )
    return lines


def _saved(proof: Document) -> list[str]:
    rows = [
        "| one inference | latency | energy | times less energy | file |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in proof["candidates"]:
        gain = one["gains"] and one["gains"]["energy"]
        ratio = (
            f"{figures(gain['median'])} ({figures(gain['low'])} to {figures(gain['high'])})"
            if gain
            else "1"
        )
        joules = one["energy"]["joules"]
        energy = quantity(joules["median"], "J") if joules else "-"
        latency = quantity(one["latency_ms"]["median"] / 1000, "s")
        rows.append(
            f"| {one['name']} | {latency} | {energy} | {ratio} | {size(one['file_bytes'])} |"
        )
    environment = proof["environment"]
    told = [
        "## What it saves",
        proof["verdict"],
        "\n".join(rows),
        f"{proof['protocol'][0].upper()}{proof['protocol'][1:]}; {environment['processor']}, "
        f"{environment['platform']}. Energy is {proof['candidates'][0]['energy']['method']}.",
    ]
    if proof["payback"]:
        told.append(proof["payback"]["says"])
    return told
