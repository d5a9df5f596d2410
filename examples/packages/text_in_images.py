"""Text in an image with rapidocr-onnxruntime, whose three models Gossamer runs.

    pip install 'gossamer[ort]' rapidocr-onnxruntime

It takes the class when it is imported, so the class is replaced before.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

import gossamer

onnxruntime.InferenceSession = gossamer.InferenceSession
from rapidocr_onnxruntime import RapidOCR  # noqa: E402

WORDS = ["Gossamer", "sparse models 90"]
image = Image.new("RGB", (640, 200), "white")
for row, words in enumerate(WORDS):
    ImageDraw.Draw(image).text((30, 25 + 85 * row), words, "black", ImageFont.load_default(48))

reader = RapidOCR()
found, _ = reader(np.asarray(image))
for _, words, score in found:
    print(f"{words:20} {float(score):.3f}")
assert [words.replace(" ", "") for _, words, _ in found] == [w.replace(" ", "") for w in WORDS]
parts = (reader.text_det.infer, reader.text_cls.infer, reader.text_rec.session)
print(f"run by {' and '.join(part.session.engine for part in parts)}")
