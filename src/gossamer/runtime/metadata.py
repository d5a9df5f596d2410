"""What a model says of itself, described as ONNX Runtime does."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

# What ONNX Runtime gives for a model that has no version.
_NO_VERSION = (1 << 63) - 1


@dataclass(frozen=True)
class ModelMetadata:
    """The fields of `onnxruntime.ModelMetadata`."""

    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata_map: dict[str, str]


def metadata(model: onnx.ModelProto) -> ModelMetadata:
    """What a model says of itself.

    Args:
        model: the model, or its outline.
    """
    return ModelMetadata(
        producer_name=model.producer_name,
        graph_name=model.graph.name,
        domain=model.domain,
        description=model.doc_string,
        graph_description=model.graph.doc_string,
        version=model.model_version if model.HasField("model_version") else _NO_VERSION,
        custom_metadata_map={entry.key: entry.value for entry in model.metadata_props},
    )
