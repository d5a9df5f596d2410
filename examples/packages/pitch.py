"""The pitch of a sound with swift-f0, whose model Gossamer runs.

pip install 'gossamer[dropin]'
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import swift_f0

import gossamer

RATE = 16_000
time = np.arange(2 * RATE) / RATE
sound = np.sin(2 * np.pi * (220 * time + 55 * time**2)).astype(np.float32)  # from 220 to 440 Hz

theirs = swift_f0.SwiftF0().detect(sound, RATE)
onnxruntime.InferenceSession = gossamer.InferenceSession
detector = swift_f0.SwiftF0()
ours = detector.detect(sound, RATE)

print(f"from {ours.pitch_hz[5]:.0f} to {ours.pitch_hz[-5]:.0f} Hz")
assert abs(ours.pitch_hz[5] - 229) < 5 and abs(ours.pitch_hz[-5] - 431) < 5
np.testing.assert_allclose(ours.pitch_hz, theirs.pitch_hz, rtol=1e-3)
np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=1e-3)
print(f"as without Gossamer; run by {detector.session.engine}")
