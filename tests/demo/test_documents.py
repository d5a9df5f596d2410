"""The demo's documents are split fairly, and embedded as the encoder's makers do."""

from __future__ import annotations

import numpy as np

from gossamer.demo.documents import Documents, embed, split, stratified_order


def documents(count: int) -> Documents:
    ids = np.arange(count * 4).reshape(count, 4)
    return Documents(ids, np.ones_like(ids), np.arange(count) % 3)


def test_parts_are_disjoint_and_in_order() -> None:
    parts = split(documents(10), {"a": 3, "b": 5})
    assert parts["a"].input_ids[:, 0].tolist() == [0, 4, 8]
    assert parts["b"].input_ids[:, 0].tolist() == [12, 16, 20, 24, 28]


def test_every_run_of_neighbours_has_the_mix_of_all() -> None:
    topics = np.array([0] * 600 + [1] * 300 + [2] * 100)
    order = stratified_order(topics, seed=3)
    assert sorted(order) == list(range(1000))
    for start in range(0, 1000, 100):
        counts = np.bincount(topics[order[start : start + 100]], minlength=3)
        assert np.abs(counts - [60, 30, 10]).max() <= 1


def test_the_order_depends_on_the_seed_alone() -> None:
    topics = np.arange(50) % 5
    assert stratified_order(topics, 0).tolist() == stratified_order(topics, 0).tolist()
    assert stratified_order(topics, 0).tolist() != stratified_order(topics, 1).tolist()


def test_an_embedding_is_the_normalised_mean_over_the_tokens() -> None:
    texts = documents(3)
    texts.attention_mask[:, 2:] = 0
    hidden = np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32)
    done: list[float] = []
    found = embed(lambda feeds: hidden[: len(feeds["input_ids"])], texts, done.append)
    mean = hidden[:, :2].mean(axis=1)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), rtol=1e-5)
    assert done == [1.0]
