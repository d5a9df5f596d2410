"""The sparse file: it restores what was saved, and finds everything that is wrong with it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file

from gossamer.errors import ModelError, OptionError, OutputError, UnsafeModelError
from gossamer.formats import load, save

Array = np.ndarray[Any, Any]


def sparse_weight(*shape: int, sparsity: float = 0.9, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal(shape)
    return (dense * (rng.random(shape) >= sparsity)).astype(np.float32)


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 32)
        self.norm = torch.nn.BatchNorm1d(32)
        self.low = torch.nn.Linear(32, 48).bfloat16()
        self.head = torch.nn.Linear(32, 50, bias=False)
        self.head.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight[torch.rand(50, 32) < 0.9] = 0
            self.low.weight[torch.rand(48, 32) < 0.9] = 0
            self.norm.weight[3] = torch.nan


def test_a_module_comes_back_as_its_state_dict(tmp_path: Path) -> None:
    module = Tied()
    save(module, tmp_path / "m.gossamer.safetensors")
    restored = load(tmp_path / "m.gossamer.safetensors").state_dict()
    expected = module.state_dict()
    assert list(restored) == list(expected)
    for name, tensor in expected.items():
        assert restored[name].dtype == tensor.dtype
        assert restored[name].shape == tensor.shape
        torch.testing.assert_close(restored[name], tensor, rtol=0, atol=0, equal_nan=True)
    Tied().load_state_dict(restored)


def test_who_reads_other_files_reads_this_one(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    path = tmp_path / "m.gossamer.safetensors"
    save({"w": np.eye(3, dtype=np.float32)}, path)
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_tied_tensors_are_stored_once_and_restored_as_one(tmp_path: Path) -> None:
    module = Tied()
    save(module, tmp_path / "m.st")
    assert not any("head.weight" in key for key in load_file(tmp_path / "m.st"))
    restored = load(tmp_path / "m.st").state_dict()
    assert restored["head.weight"] is restored["embedding.weight"]


def test_equal_tensors_that_are_not_tied_stay_apart(tmp_path: Path) -> None:
    save({"a": np.ones(4), "b": np.ones(4)}, tmp_path / "m.st")
    arrays = load(tmp_path / "m.st").arrays()
    arrays["a"][0] = 5
    assert arrays["b"][0] == 1


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        # One of each kind: the table of all characters takes seconds to make.
        st.text('aB0 _.:/\\"\n\0\x7féß\u0301\u2028中😀', max_size=12),
        hnp.arrays(
            st.sampled_from(["float32", "int64", "bool", "uint8"]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
        ),
        max_size=5,
    )
)
def test_any_mapping_comes_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Array]
) -> None:
    path = tmp_path_factory.mktemp("any") / "m.st"
    save(arrays, path)
    restored = load(path).arrays()
    assert list(restored) == list(arrays)
    for name, array in arrays.items():
        assert restored[name].dtype == array.dtype
        assert restored[name].shape == array.shape
        np.testing.assert_array_equal(restored[name], array)


def test_names_cannot_collide_with_the_containers_own(tmp_path: Path) -> None:
    weight = sparse_weight(64, 64)
    names = ["w", "mask:w", "values:w", "dense:w", "graph:onnx", "__metadata__", ""]
    save({name: weight * (i + 1) for i, name in enumerate(names)}, tmp_path / "m.st")
    restored = load(tmp_path / "m.st").arrays()
    for i, name in enumerate(names):
        np.testing.assert_array_equal(restored[name], weight * (i + 1))


def test_a_ninety_percent_sparse_model_takes_at_most_0135_of_its_dense_bytes(
    tmp_path: Path,
) -> None:
    weights = {f"layer.{i}": sparse_weight(384, 384, seed=i) for i in range(4)}
    save(weights, tmp_path / "m.st")
    assert (tmp_path / "m.st").stat().st_size <= 0.135 * 4 * 384 * 384 * 4
    save(weights, tmp_path / "half.st", values="fp16")
    assert (tmp_path / "half.st").stat().st_size <= 0.085 * 4 * 384 * 384 * 4


def test_the_description_counts_without_decoding(tmp_path: Path) -> None:
    weight = sparse_weight(64, 64)
    save({"w": weight}, tmp_path / "m.st")
    (tensor,) = load(tmp_path / "m.st").description.tensors
    assert vars(tensor).items() >= {"name": "w", "shape": (64, 64), "encoding": "sparse"}.items()
    assert vars(tensor)["nonzeros"] == np.count_nonzero(weight)


def test_loaded_arrays_are_independent_of_the_file(tmp_path: Path) -> None:
    save({"w": sparse_weight(64, 64), "b": np.ones(5)}, tmp_path / "m.st")
    file = load(tmp_path / "m.st")
    (tmp_path / "m.st").unlink()
    for name in ("w", "b"):
        first = file.arrays()[name]
        first += 1
        assert not np.array_equal(first, file.arrays()[name])


def test_the_file_carries_no_graph_unless_given(tmp_path: Path) -> None:
    save({"w": np.ones(3)}, tmp_path / "m.st")
    with pytest.raises(ModelError, match=r"carries no ONNX graph.*example_inputs"):
        load(tmp_path / "m.st").onnx()


def test_loading_arrays_imports_neither_torch_nor_onnx(tmp_path: Path) -> None:
    save({"w": sparse_weight(64, 64)}, tmp_path / "m.st")
    code = (
        "import sys; from gossamer.formats import load; load(sys.argv[1]).arrays(); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.st")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_unknown_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r'values="int8"|values=.int8. is unknown; choose'):
        save({"w": np.ones(3)}, tmp_path / "m.st", values="int8")  # type: ignore[arg-type]


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="beyond fp16"):
        save({"w": np.full(3, 1e9)}, tmp_path / "m.st", values="fp16")
    with pytest.raises(OutputError, match="cannot write"):
        save({"w": np.ones(3)}, tmp_path / "absent" / "m.st")
    assert list(tmp_path.iterdir()) == []


# What is wrong with a file


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.st", tmp_path):
        with pytest.raises(ModelError, match="does not exist or is no file; check the path"):
            load(path)


def test_an_ordinary_safetensors_file_is_named_as_such(tmp_path: Path) -> None:
    save_file({"w": np.ones(3)}, tmp_path / "m.st", {"format": "pt"})
    with pytest.raises(ModelError, match="a safetensors file that Gossamer did not write"):
        load(tmp_path / "m.st")


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("the file was unpickled",))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 7, b"\xff" * 64, b'{"a": 1}', pickle.dumps(Bomb())],
    ids=["empty", "short", "huge header", "JSON", "pickle"],
)
def test_a_file_of_another_kind_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.st").write_bytes(content)
    with pytest.raises(ModelError, match="is not a sparse Gossamer file") as caught:
        load(tmp_path / "m.st")
    assert "\n" not in str(caught.value)


def rewrite(path: Path, change: Any) -> None:
    """Change the container's parts and description, with the description's checksum made right."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as reader:
        document = json.loads(reader.metadata()["gossamer"])
        parts = {key: reader.get_tensor(key) for key in reader.keys()}  # noqa: SIM118
    change(document, parts)
    text = json.dumps(document)
    metadata = {"gossamer": text, "gossamer_crc32": f"{zlib.crc32(text.encode()):08x}"}
    save_file(parts, path, metadata)


@pytest.mark.parametrize(
    "change",
    [
        lambda document, parts: document.update(version=9),
        lambda document, parts: document["tensors"].pop(),
        lambda document, parts: document["tensors"][0].update(shape=[64, 65]),
        lambda document, parts: document["tensors"][0].update(shape=[2**40, 2**40]),
        lambda document, parts: document["tensors"][0].update(nonzeros=1),
        lambda document, parts: document["tensors"][0].update(dtype="float64", values="float64"),
        lambda document, parts: document["tensors"][0].update(encoding="dense"),
        lambda document, parts: document["tensors"][1].update(shape=[0, 2**62]),
        lambda document, parts: document["tensors"][1].update(name="c"),
        lambda document, parts: parts.pop("mask:w"),
        lambda document, parts: parts.update(extra=np.ones(2)),
        lambda document, parts: parts.update({"mask:w": parts["mask:w"][::-1].copy()}),
        lambda document, parts: parts.update({"dense:b": parts["dense:b"].reshape(1, 5)}),
    ],
)
def test_a_tampered_file_is_refused(tmp_path: Path, change: Any) -> None:
    save({"w": sparse_weight(64, 64), "b": np.arange(5)}, tmp_path / "m.st")
    rewrite(tmp_path / "m.st", lambda document, parts: None)
    load(tmp_path / "m.st")
    rewrite(tmp_path / "m.st", change)
    with pytest.raises(ModelError, match=";") as caught:
        load(tmp_path / "m.st")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Array]]:
    path = tmp_path_factory.mktemp("sample") / "m.st"
    arrays: dict[str, Array] = {
        "w": sparse_weight(40, 41),
        "b": np.arange(7, dtype=np.float32),
        "steps": np.array(3),
    }
    save(arrays, path)
    return path.read_bytes(), arrays


def outcome(path: Path, arrays: dict[str, Array]) -> str:
    """Return how loading ends; anything but a ModelError or the very same arrays fails."""
    try:
        restored = load(path).arrays()
    except ModelError:
        return "refused"
    assert list(restored) == list(arrays)
    for name, array in arrays.items():
        assert restored[name].dtype == array.dtype
        np.testing.assert_array_equal(restored[name], array)
    return "identical"


def test_no_truncation_goes_unnoticed(
    tmp_path: Path, sample: tuple[bytes, dict[str, Array]]
) -> None:
    content, arrays = sample
    for length in [*range(0, 1200, 7), *range(1200, len(content), 31), len(content) - 1]:
        (tmp_path / "m.st").write_bytes(content[:length])
        assert outcome(tmp_path / "m.st", arrays) == "refused", length
    (tmp_path / "m.st").write_bytes(content + b"\x00")
    assert outcome(tmp_path / "m.st", arrays) == "refused"


def test_no_flipped_bit_goes_unnoticed(
    tmp_path: Path, sample: tuple[bytes, dict[str, Array]]
) -> None:
    content, arrays = sample
    header = 8 + int.from_bytes(content[:8], "little")
    for position in [*range(header), *range(header, len(content), 11)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        (tmp_path / "m.st").write_bytes(damaged)
        # The container's header is JSON, in which a few bytes can change without a meaning.
        ended = outcome(tmp_path / "m.st", arrays)
        assert ended == "refused" or position < header, position


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    st.sampled_from(["anywhere", "header"]),
)
def test_random_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory,
    sample: tuple[bytes, dict[str, Array]],
    changes: list[tuple[float, int]],
    where: str,
) -> None:
    content, arrays = sample
    path = tmp_path_factory.getbasetemp() / "damaged.st"
    damaged = bytearray(content)
    end = len(content) if where == "anywhere" else 8 + int.from_bytes(content[:8], "little")
    for place, value in changes:
        damaged[int(place * (end - 1))] = value
    path.write_bytes(damaged)
    outcome(path, arrays)


@pytest.mark.parametrize(
    "kind", ["BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F8_E4M3FNUZ", "F6_E2M3", "nothing"]
)
def test_element_types_that_no_sparse_file_holds_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.safetensors"
    save({"w": np.ones((4, 16), np.float32)}, path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    bits = {"F4": 4, "F6_E2M3": 6, "BF16": 16}.get(kind, 8)
    header["dense:w"] |= {"dtype": kind, "data_offsets": [0, 64 * bits // 8]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(64 * bits // 8))
    with pytest.raises(ModelError, match="is not a sparse Gossamer file, or is truncated or dam"):
        load(path)


def test_what_is_too_much_when_dense_is_refused_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = sparse_weight(64, 64)
    nodes = [helper.make_node("MatMul", ["x", name], ["y"]) for name in ("a", "b")]
    graph = helper.make_graph(
        nodes, "tied", [], [], [numpy_helper.from_array(weight, name) for name in ("a", "b")]
    )
    save(helper.make_model(graph), tmp_path / "m.safetensors")
    stored = load(tmp_path / "m.safetensors")
    # One tensor in the file, and two in the model.
    monkeypatch.setattr("gossamer.formats.sparse_file.memory", lambda: 3 * weight.nbytes // 2)
    with pytest.raises(UnsafeModelError, match="more than this machine's memory"):
        stored.onnx()
    assert len(stored.arrays()) == 2
    monkeypatch.setattr("gossamer.formats.sparse_file.memory", lambda: weight.nbytes // 2)
    for decode in (stored.arrays, stored.state_dict, stored.onnx_parts):
        with pytest.raises(UnsafeModelError, match="more than this machine's memory"):
            decode()
