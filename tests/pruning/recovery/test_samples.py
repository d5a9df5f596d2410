"""Samples in shuffled mini-batches, whatever shape the user's data has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gossamer.errors import DataError
from gossamer.models.adapter import Input
from gossamer.pruning.recovery.samples import Samples, read_samples

X = [Input("x", required=True)]
TOKENS = [Input("input_ids", required=True), Input("attention_mask", required=False)]


def drawn(samples: Samples, size: int, epoch: int = 0, seed: int = 0) -> list[Any]:
    return [samples.take(*batch) for batch in samples.mini_batches(size, seed, epoch)]


def test_an_epoch_shows_each_sample_once_and_shuffled() -> None:
    samples = read_samples({"x": np.arange(20.0)[:, None]}, X, labelled=False)
    first, again, later, other = (
        np.concatenate([batch["x"].ravel() for batch in drawn(samples, 5, epoch, seed)])
        for epoch, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert len(samples) == 20
    assert sorted(first) == sorted(later) == list(range(20))
    assert list(first) == list(again), "the seed says the order"
    assert list(first) != list(range(20))
    assert list(first) != list(later)
    assert list(first) != list(other)


def test_only_whole_mini_batches_are_drawn_unless_there_is_none() -> None:
    samples = read_samples(np.zeros((11, 2), np.float32), X, labelled=False)
    assert [len(batch["x"]) for batch in drawn(samples, 4)] == [4, 4]
    assert [len(batch["x"]) for batch in drawn(samples, 64)] == [11]


def test_labels_stay_with_their_samples() -> None:
    data = [{"x": np.arange(4.0)[:, None] + start, "y": np.arange(4) + start} for start in (0, 4)]
    samples = read_samples(data, X, labelled=True)
    assert samples.extras == ("y",)
    for batch in drawn(samples, 4):
        assert np.array_equal(batch["x"].ravel(), batch["y"])


def test_labels_that_nobody_uses_are_left_out_with_a_note() -> None:
    for data in ({"x": np.zeros((4, 1)), "labels": np.zeros(4)}, [(np.zeros((4, 1)), np.zeros(4))]):
        samples = read_samples(data, X, labelled=False)
        assert samples.extras == ()
        (note,) = samples.notes
        assert note == "'labels' in the data: left out, since the model does not take it."


def test_labels_without_a_name_are_called_so() -> None:
    loader = DataLoader(TensorDataset(torch.arange(6.0)[:, None], torch.arange(6)), batch_size=3)
    samples = read_samples(loader, X, labelled=True)
    assert (samples.extras, samples.notes) == (("labels",), ())
    for batch in drawn(samples, 2):
        assert np.array_equal(batch["x"].ravel(), batch["labels"])


def test_what_is_neither_input_nor_label_is_refused() -> None:
    with pytest.raises(DataError, match=r"'weights', which the model does not take.*task_loss="):
        read_samples({"x": np.zeros((4, 1)), "weights": np.zeros(4)}, X, labelled=False)


def test_labels_must_be_as_many_as_the_samples() -> None:
    with pytest.raises(DataError, match=r"x 4, y 3"):
        read_samples({"x": np.zeros((4, 1)), "y": np.zeros(3)}, X, labelled=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "a int"),
        ([], "empty"),
        ({"x": np.full((2, 2), np.nan)}, "NaN"),
        (
            [{"x": np.zeros((2, 2))}, {"z": np.zeros((2, 2))}],
            "batch 2 of the data has an array 'z'",
        ),
        ("nowhere.npz", "does not exist"),
    ],
)
def test_other_data_is_refused_by_name(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_samples(data, X, labelled=False)


def test_batches_of_tokens_are_padded_to_one_length_and_cut_again() -> None:
    data = [
        {
            "input_ids": np.full((3, length), length),
            "attention_mask": np.ones((3, length), np.int64),
            "tags": np.full((3, length), length),
        }
        for length in (4, 7)
    ]
    samples = read_samples(data, TOKENS, labelled=True)
    (batch,) = drawn(samples, 6)
    short = batch["attention_mask"].sum(axis=1) == 4
    assert short.sum() == 3
    assert batch["input_ids"].shape == (6, 7)
    assert (batch["tags"][short, 4:] == -100).all(), "padding is no label"
    assert (batch["tags"][short, :4] == 4).all()
    for batch in drawn(samples, 3):
        # Like length comes together, and no column is padding in every sample.
        assert len(set(batch["attention_mask"].sum(axis=1))) == 1
        assert batch["attention_mask"].all()
        assert batch["tags"].shape == batch["input_ids"].shape == batch["attention_mask"].shape


@pytest.mark.parametrize("name", ["decoder_input_ids", "labels"])
def test_what_is_about_other_tokens_is_not_cut_with_the_mask(name: str) -> None:
    mask = np.array([[1, 0, 0], [1, 1, 0]])
    data = {"input_ids": mask * 7, "attention_mask": mask, name: np.array([[1, 2, 3], [4, 5, 6]])}
    inputs = [*TOKENS, Input(name, required=False)]
    (batch,) = drawn(read_samples(data, inputs, labelled=False), 2)
    assert sorted(map(tuple, batch[name])) == [(1, 2, 3), (4, 5, 6)]
    assert batch["input_ids"].shape == (2, 3)


def test_a_decoder_s_tokens_are_not_padded_like_the_encoder_s() -> None:
    inputs = [*TOKENS, Input("decoder_input_ids", required=True)]
    data = [
        {
            "input_ids": np.full((2, length), 7),
            "attention_mask": np.ones((2, length), np.int64),
            "decoder_input_ids": np.full((2, 4), 8),
        }
        for length in (4, 6)
    ]
    (batch,) = drawn(read_samples(data, inputs, labelled=False), 4)
    assert batch["input_ids"].shape == (4, 6)
    assert batch["decoder_input_ids"].shape == (4, 4)


def test_images_of_several_sizes_come_in_mini_batches_of_one() -> None:
    data = [np.zeros((6, 1, size, size), np.float32) for size in (4, 5, 4)]
    samples = read_samples(data, X, labelled=False)
    shapes = sorted(batch["x"].shape for batch in drawn(samples, 4))
    assert shapes == [(4, 1, 4, 4), (4, 1, 4, 4), (4, 1, 4, 4), (4, 1, 5, 5)]


def test_the_digest_knows_other_samples() -> None:
    one, same, other = (
        read_samples(np.full((4, 2), value, np.float32), X, labelled=False).digest()
        for value in (1, 1, 2)
    )
    assert one == same != other
