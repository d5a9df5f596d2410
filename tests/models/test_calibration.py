from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BatchEncoding

from gossamer.errors import DataError
from gossamer.models.adapter import Input
from gossamer.models.calibration import first_batch, is_sequence, read_batches, samples_in

INPUTS = [Input("x", required=True), Input("extra", required=False)]
TOKENS = [Input("input_ids", required=True), Input("attention_mask", required=False)]
x = np.arange(140, dtype=np.float32).reshape(70, 2)


def joined(batches: list[Any], name: str = "x") -> np.ndarray[Any, Any]:
    return np.concatenate([batch[name] for batch in batches])


def test_whole_arrays_are_cut_into_batches_of_32() -> None:
    batches = read_batches({"x": x}, INPUTS)
    assert [len(batch["x"]) for batch in batches] == [32, 32, 6]
    np.testing.assert_array_equal(joined(batches), x)


def test_one_array_is_the_first_input() -> None:
    np.testing.assert_array_equal(joined(read_batches(torch.from_numpy(x), INPUTS)), x)


def test_a_file_of_functions_needs_the_name_of_one(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text("def texts():\n    yield {}\n")
    with pytest.raises(DataError, match=r"data\.py holds functions; name the one .*data\.py:FUNC"):
        read_batches(tmp_path / "data.py", [])


def test_an_npz_file_holds_arrays_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=x)
    np.testing.assert_array_equal(joined(read_batches(tmp_path / "data.npz", INPUTS)), x)


def test_a_function_in_a_file_yields_batches(tmp_path: Path) -> None:
    file = tmp_path / "data.py"
    file.write_text(
        "import numpy as np\n"
        "def batches():\n"
        "    for n in (2, 3):\n"
        "        yield {'x': np.full((n, 2), n)}\n"
        "def broken():\n"
        "    raise ValueError('no disk')\n"
        "    yield\n"
    )
    assert [len(batch["x"]) for batch in read_batches(f"{file}:batches", INPUTS)] == [2, 3]
    with pytest.raises(DataError, match="no disk"):
        read_batches(f"{file}:broken", INPUTS)


def test_batches_may_be_mappings_arrays_or_tuples() -> None:
    batches = read_batches([{"x": x[:2]}, torch.from_numpy(x[2:4]), (x[4:6],)], INPUTS)
    np.testing.assert_array_equal(joined(batches), x[:6])


def loader_of(*arrays: Any, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*map(torch.as_tensor, arrays)), batch_size=32, **options)


LABELLED = "'labels' in the calibration data: left out, since the model does not take it."


@pytest.mark.parametrize(
    "data",
    [
        loader_of(x, np.arange(70)),
        loader_of(x, np.zeros((70, 1, 2))),
        TensorDataset(torch.tensor(x), torch.arange(70)),
        [(x, ["a"] * 70)],
        [({"x": x}, np.arange(70))],
        [((x,), np.arange(70))],
        {"x": x, "labels": np.arange(70)},
        [{"x": torch.tensor(x), "labels": torch.arange(70)}],
        BatchEncoding({"x": torch.tensor(x), "labels": torch.arange(70)}),
        [BatchEncoding({"x": x.tolist(), "labels": list(range(70))})],
    ],
    ids=lambda data: type(data).__name__,
)
def test_labels_beside_the_inputs_are_left_out_with_a_note(data: Any) -> None:
    notes: list[str] = []
    batches = read_batches(data, INPUTS[:1], notes)
    np.testing.assert_array_equal(joined(batches), x)
    assert {name for batch in batches for name in batch} == {"x"}
    assert notes == [LABELLED]


def test_one_number_a_sample_is_no_optional_input() -> None:
    notes: list[str] = []
    (batch,) = read_batches([(x, np.arange(70))], INPUTS, notes)
    assert list(batch) == ["x"]
    assert notes == [LABELLED]


def test_more_than_the_model_takes_in_order_is_left_out() -> None:
    notes: list[str] = []
    (batch,) = read_batches([(x, x + 1, np.zeros((70, 3)))], INPUTS, notes)
    np.testing.assert_array_equal(batch["extra"], x + 1)
    assert notes == [LABELLED]


def test_what_may_be_an_optional_input_or_a_label_is_refused() -> None:
    with pytest.raises(DataError, match="give arrays by name, without labels"):
        read_batches([(x, x + 1, np.arange(70))], INPUTS)


def test_what_the_model_takes_is_no_label() -> None:
    notes: list[str] = []
    inputs = [*INPUTS, Input("labels", required=False)]
    (batch,) = read_batches([{"x": x, "labels": np.arange(70)}], inputs, notes)
    assert list(batch) == ["x", "labels"]
    assert notes == []


def test_of_a_data_set_with_columns_the_model_takes_what_it_knows() -> None:
    class Table:
        """As a `datasets.Dataset`."""

        column_names = ("sentence", "x", "label")

        def with_format(self, kind: str) -> Table:
            return self

        def __len__(self) -> int:
            return 70

        def __getitem__(self, rows: slice) -> dict[str, Any]:
            return {"sentence": ["a"] * 70, "x": torch.tensor(x), "label": torch.arange(70)}

    notes: list[str] = []
    batches = read_batches(Table(), INPUTS, notes)
    np.testing.assert_array_equal(joined(batches), x)
    (note,) = notes
    assert note.startswith("'sentence', 'label' in the calibration data: left out")


def test_the_first_batch_of_a_loader_is_an_example() -> None:
    loader = loader_of(x, np.arange(70))
    one, labels = first_batch(loader)
    assert one.shape == (32, 2)
    assert labels.shape == (32,)
    for other in ((x, x), [x], {"x": x}, x, None):
        assert first_batch(other) is other


def test_a_function_may_return_any_kind_of_data(tmp_path: Path) -> None:
    file = tmp_path / "data.py"
    file.write_text(
        "import numpy as np\n"
        "def arrays():\n"
        "    return {'x': np.ones((40, 2))}\n"
        "def batches():\n"
        "    return [np.ones((4, 2)), (np.ones((5, 2)), np.arange(5))]\n"
    )
    assert [len(batch["x"]) for batch in read_batches(f"{file}:arrays", INPUTS)] == [32, 8]
    assert [len(batch["x"]) for batch in read_batches(f"{file}:batches", INPUTS)] == [4, 5]


def test_data_that_fails_on_the_way_is_told_with_its_place() -> None:
    def broken() -> Iterator[Any]:
        yield x
        raise OSError("disk gone")

    with pytest.raises(DataError, match=r"OSError: disk gone at test_calibration\.py:\d+"):
        read_batches(broken(), INPUTS)


def test_bfloat16_tensors_are_read() -> None:
    (batch,) = read_batches([torch.ones(2, 3, dtype=torch.bfloat16)], INPUTS)
    assert batch["x"].dtype == np.float32


def test_bytes_in_another_order_are_the_same_numbers() -> None:
    (batch,) = read_batches({"x": np.ones((2, 3), ">f4")}, INPUTS)
    assert batch["x"].dtype.isnative and batch["x"].sum() == 6


def test_a_model_of_fixed_batch_size_gets_batches_of_that_size() -> None:
    inputs = [Input("x", required=True, shape=(20, 2), floating=True)]
    assert [len(batch["x"]) for batch in read_batches({"x": x}, inputs)] == [20, 20, 20]
    with pytest.raises(DataError, match="takes 20 at once"):
        read_batches({"x": x[:5]}, inputs)


def test_padded_sentences_are_sorted_by_length_and_trimmed() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, 70)
    mask = (np.arange(10) < lengths[:, None]).astype(np.int64)
    ids = random.integers(1, 50, (70, 10)) * mask
    batches = read_batches({"input_ids": ids, "attention_mask": mask}, TOKENS)
    sentences = [
        tuple(row[kept == 1])
        for batch in batches
        for row, kept in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    expected = [tuple(row[kept == 1]) for row, kept in zip(ids, mask, strict=True)]
    assert sorted(sentences) == sorted(expected)
    assert all(batch["attention_mask"][-1].all() for batch in batches)
    assert batches[0]["input_ids"].shape[1] < batches[-1]["input_ids"].shape[1] < 10


def test_a_decoder_s_tokens_are_not_cut_to_the_encoder_s_length() -> None:
    mask = np.array([[1, 0, 0], [1, 1, 0]])
    data = {"input_ids": mask * 7, "attention_mask": mask, "decoder_input_ids": mask * 0 + 7}
    inputs = [*TOKENS, Input("decoder_input_ids", required=True)]
    (batch,) = read_batches(data, inputs)
    for name, array in data.items():
        np.testing.assert_array_equal(batch[name], array)


def test_sentences_padded_at_the_start_are_left_as_they_are() -> None:
    mask = np.array([[0, 0, 1], [1, 1, 1]])
    (batch,) = read_batches({"input_ids": mask * 7, "attention_mask": mask}, TOKENS)
    np.testing.assert_array_equal(batch["attention_mask"], mask)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "is empty"),
        (x[:0], "is empty"),
        ({}, "lacks an array named 'x'"),
        ({"extra": x}, "lacks an array named 'x'"),
        ({"y": x}, r"'y', which the model does not take; its inputs are: x, extra"),
        ({"x": x, "extra": x[:3]}, "number of samples"),
        ({"x": np.float32(3)}, "single number"),
        ({"x": np.full((2, 2), np.nan)}, "NaN"),
        ({"x": np.array(["a", "b"])}, "not an array of numbers"),
        ({"x": np.array([[1.0, -np.inf]])}, "'x' holds NaN or infinity"),
        ({"x": torch.ones(2, 3, device="meta")}, "'x' is no array"),
        (torch.nested.nested_tensor([torch.ones(3), torch.ones(5)]), "'x' is no array"),
        ([{"x": x}, {"x": x + np.inf}], "batch 2: 'x' holds NaN or infinity"),
        ([(x, x)], "has 2 elements but the model requires 1"),
        ([7], "is a int"),
        (7, "is a int"),
        ("missing.npz", "does not exist"),
    ],
)
def test_data_that_does_not_fit_is_refused(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_batches(data, INPUTS)


def test_a_file_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"bad\.npz is not an \.npz file of plain arrays"):
        read_batches(tmp_path / "bad.npz", INPUTS)
    (tmp_path / "no.npz").write_text("not a zip")
    with pytest.raises(DataError, match=r"no\.npz"):
        read_batches(tmp_path / "no.npz", INPUTS)


TEXT = [Input("s", required=True, shape=(None, 2), text=True)]
SEQUENCE = [Input("s", required=True, floating=True, sequence=True)]


def test_text_is_strings_however_it_is_given() -> None:
    words = [["a", "bc"], ["", "d"]]
    for given in (np.array(words), np.array(words, object), words[0:2]):
        (batch,) = read_batches([{"s": given}], TEXT)
        assert batch["s"].tolist() == words and batch["s"].dtype.kind == "U"


def test_text_and_numbers_are_told_apart() -> None:
    with pytest.raises(DataError, match="takes text and is an array of int64; give strings"):
        read_batches({"s": np.ones((3, 2), np.int64)}, TEXT)
    with pytest.raises(DataError, match="not an array of numbers but of <U1"):
        read_batches({"x": np.array([["a"]])}, INPUTS)


def test_a_sequence_is_a_list_of_arrays_in_each_batch() -> None:
    parts = [x, x[:3]]
    for data in ({"s": parts}, [{"s": parts}], [{"s": parts}] * 2):
        for batch in read_batches(data, SEQUENCE):
            assert is_sequence(batch["s"]) and len(batch["s"]) == 2 and samples_in(batch) == 1
            np.testing.assert_array_equal(batch["s"][1], x[:3])


def test_a_sequence_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="'s' takes a sequence; give a list of arrays"):
        read_batches({"s": x}, SEQUENCE)
    with pytest.raises(DataError, match="takes floating-point numbers"):
        read_batches({"s": [np.ones(3, np.int64)]}, SEQUENCE)
    with pytest.raises(DataError, match="NaN"):
        read_batches({"s": [np.float32([1, np.nan])]}, SEQUENCE)
