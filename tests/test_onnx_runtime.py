"""ONNX Runtime's own session class."""

from __future__ import annotations

import pytest
from onnxruntime.capi import onnxruntime_inference_collection as collection

from gossamer.onnx_runtime import session_class


def test_it_is_what_it_was_when_it_was_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    first = session_class()
    assert first.__module__ == collection.__name__
    monkeypatch.setattr(collection, "InferenceSession", object)
    assert session_class() is first
