"""Where somebody speaks with silero-vad, whose model Gossamer runs.

pip install 'gossamer[dropin]'
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from silero_vad import load_silero_vad

import gossamer

RATE = 16_000
random = np.random.default_rng(0)
time = np.arange(RATE) / RATE
# A second of quiet noise, and one that has a voice's harmonics, swelling as syllables do.
quiet = random.normal(0, 0.001, RATE)
voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 25))
voice *= 0.2 * (1 + np.sin(2 * np.pi * 4 * time))
sound = torch.from_numpy(np.concatenate([quiet, voice])).float()


def probabilities() -> list[float]:
    """Return how likely there is speech, each 32 milliseconds; the model remembers the last."""
    model = load_silero_vad(onnx=True)
    return [model(part, RATE).item() for part in sound.split(512) if len(part) == 512]


theirs = probabilities()
onnxruntime.InferenceSession = gossamer.InferenceSession
ours = probabilities()

print(f"{max(ours[:31]):.2f} at most in the quiet second, {max(ours[32:]):.2f} in the other")
np.testing.assert_allclose(ours, theirs, atol=1e-3)
print(f"as without Gossamer; run by {load_silero_vad(onnx=True).session.engine}")
