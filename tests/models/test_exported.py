from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.errors import ModelError
from gossamer.models import open_model
from gossamer.models.exported import load_exported

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def file(cnn: nn.Module, tmp_path: Path) -> Path:
    batch = torch.export.Dim("samples", min=2)
    example = torch.randn(3, 3, 9, 8)
    program = torch.export.export(cnn, (example,), dynamic_shapes={"pixels": {0: batch}})
    path = tmp_path / "model.pt2"
    torch.export.save(program, path)
    return path


def changed(path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """Rewrite an archive member by member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(members)).partition("/")[0]
    members.update({f"{root}/{name}": data for name, data in more.items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, change(name, data))
    return path


def test_layers_weights_and_inputs_are_those_of_the_module(
    file: Path, cnn: nn.Module, pixels: Arrays
) -> None:
    exported, module = open_model(file).copy(), open_model(cnn).copy()
    shapes = [
        [(layer.name, layer.rows, layer.columns, layer.groups) for layer in adapter.layers()]
        for adapter in (exported, module)
    ]
    assert shapes[0] == shapes[1]
    assert [given.name for given in exported.inputs()] == ["pixels"]
    seen: list[dict[str, list[torch.Tensor]]] = []
    for adapter in (exported, module):
        parts: dict[str, list[torch.Tensor]] = defaultdict(list)
        names = [layer.name for layer in adapter.layers()]
        adapter.capture([pixels], names, lambda name, part, parts=parts: parts[name].append(part))
        seen.append(parts)
    for name, parts in seen[1].items():
        torch.testing.assert_close(torch.cat(seen[0][name], -2), torch.cat(parts, -2))


def test_a_weight_written_is_the_weight_that_runs(file: Path, pixels: Arrays) -> None:
    adapter = open_model(file).copy()
    x = torch.from_numpy(pixels["pixels"])
    before = adapter.model(x)
    adapter.set_weight("classifier", adapter.weight("classifier") * 0)
    assert not torch.allclose(adapter.model(x), before)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt2"
    path.write_text("nothing")
    with pytest.raises(ModelError, match=r"bad\.pt2 is not a model saved by torch\.export\.save"):
        load_exported(path)


class Trap:
    """Unpickling this would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_nothing_is_unpickled(file: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was_here"
    poison = io.BytesIO()
    torch.save(((Trap(mark),), {}), poison, pickle_protocol=2)
    original = file.read_bytes()

    changed(file, lambda name, data: poison.getvalue() if "sample_inputs" in name else data)
    with pytest.raises(ModelError, match="example inputs"):
        load_exported(file)

    def pickled(name: str, data: bytes) -> bytes:
        if name.endswith("model_weights_config.json"):
            config = json.loads(data)
            for entry in config["config"].values():
                entry["use_pickle"] = True
            return json.dumps(config).encode()
        return data

    file.write_bytes(original)
    with pytest.raises(ModelError, match="pickled tensors"):
        load_exported(changed(file, pickled))
    file.write_bytes(original)
    opaque = {"data/constants/opaque_obj_0": pickle.dumps(Trap(mark))}
    with pytest.raises(ModelError, match="may run code"):
        load_exported(changed(file, lambda name, data: data, **opaque))
    assert not mark.exists()


def test_expressions_beyond_arithmetic_are_not_evaluated(file: Path) -> None:
    def injected(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        return data.replace(b"Symbol('s", b"exec('s")

    with pytest.raises(ModelError, match="which is not evaluated"):
        load_exported(changed(file, injected))
