"""What a model says of itself, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import onnx
import onnxruntime
import pytest

from gossamer.runtime.metadata import metadata
from gossamer.runtime.outline import outline


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"model_version": 0},
        {"model_version": 3, "doc_string": "d", "domain": "o", "producer_name": "p"},
    ],
)
def test_it_is_what_onnx_runtime_says(model: Any, said: dict[str, Any]) -> None:
    small: onnx.ModelProto = model("(float[N] x) => (float[N] y) { y = Abs(x) }")
    small.graph.doc_string = "g"
    # Larger than what an outline looks into.
    small.metadata_props.add(key="long", value="word " * 2000)
    for name, value in said.items():
        setattr(small, name, value)
    content = small.SerializeToString()
    reference = onnxruntime.InferenceSession(content).get_modelmeta()
    found = asdict(metadata(outline(content)))
    assert found == {name: getattr(reference, name) for name in found}
