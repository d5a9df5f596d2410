"""The types of files with magika, whose model Gossamer runs.

pip install 'gossamer[dropin]'
"""

from __future__ import annotations

import json
from pathlib import Path

import magika
import onnxruntime

import gossamer

contents = {
    "python": Path(__file__).read_bytes(),
    "json": json.dumps({"name": ["a", "list", 1, 2.5, None], "of": {"some": "things"}}, indent=4),
    "html": "<!doctype html>\n<html><body>" + "<p>Some words.</p>\n" * 20 + "</body></html>",
}
samples = [text.encode() if isinstance(text, str) else text for text in contents.values()]


def identify() -> list[tuple[str, float]]:
    """Return the type and the score of each."""
    found = [magika.Magika().identify_bytes(sample) for sample in samples]
    return [(one.output.label, one.score) for one in found]


theirs = identify()
onnxruntime.InferenceSession = gossamer.InferenceSession
ours = identify()

for label, score in ours:
    print(f"{label:8} {score:.3f}")
assert [label for label, _ in ours] == list(contents)
assert all(abs(one[1] - other[1]) < 1e-3 for one, other in zip(ours, theirs, strict=True))
engine = magika.Magika()._onnx_session.engine
print(f"as without Gossamer; run by {engine}")
