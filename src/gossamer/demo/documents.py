"""The demo's documents: BBC News, tokenised, split, and embedded by a text encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Embeddings = NDArray[np.float32]

TOKENS = 128
_SEED = 0
_BATCH = 16


@dataclass(frozen=True)
class Documents:
    """Tokenised documents: ids and mask [n, tokens] as int64, topics [n] as small integers."""

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


def read_documents(folder: Path, directory: Path, tokens: int = TOKENS) -> Documents:
    """Read and tokenise the documents, each text once, in stratified order.

    Args:
        folder: one folder a topic, one .txt file a document.
        directory: Hugging Face directory of the tokenizer.
        tokens: of a document; longer ones are cut, shorter ones padded.
    """
    import transformers

    files = sorted(folder.glob("*/*.txt"))
    names = sorted({path.parent.name for path in files})
    # A document holds a pound sign of another encoding.
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    topics = np.array([names.index(path.parent.name) for path in files], np.int64)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    encoded = tokenizer(
        texts, padding="max_length", truncation=True, max_length=tokens, return_tensors="np"
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


def compiled_forward(run: Callable[[dict[str, NDArray[np.int64]]], Any]) -> Forward:
    """Return a function from feeds to the first output of what `run` runs."""

    def forward(feeds: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        hidden: NDArray[np.float32] = run(feeds)[0]
        return hidden

    return forward


def embed(
    forward: Forward, documents: Documents, progress: Callable[[float], None] = lambda done: None
) -> Embeddings:
    """Return sentence embeddings [n, 384]: the mean over the tokens, normalised to length 1.

    Args:
        forward: runs the encoder.
        documents: to embed.
        progress: is told the fraction done, 0 to 1.
    """
    rows = []
    for start in range(0, len(documents), _BATCH):
        part = documents[slice(start, start + _BATCH)]
        mask = part.attention_mask[:, :, None].astype(np.float32)
        mean = (forward(part.feeds()) * mask).sum(axis=1) / mask.sum(axis=1)
        rows.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
        progress((start + len(part)) / len(documents))
    return np.concatenate(rows)
