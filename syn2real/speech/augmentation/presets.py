"""Mixtures of transforms with a name. Order matters: they apply from the mouth to the recogniser."""

from typing import Any

PRESETS: dict[str, list[dict[str, Any]]] = {
    # A call: some noise where it is made, then the line.
    "telephone": [
        {"transform": "room", "probability": 0.3, "t60": [0.15, 0.4], "distance": [0.3, 1]},
        {"transform": "noise", "probability": 0.5, "snr": [10, 30]},
        {"transform": "gain", "gain": [-10, 6]},
        {"transform": "telephone", "codings": ["mu-law", "a-law", "gsm"]},
    ],
    # A device on the other side of the room.
    "far_field": [
        {"transform": "room", "t60": [0.25, 0.9], "distance": [1, 5]},
        {"transform": "noise", "probability": 0.8, "snr": [5, 25], "colours": ["pink", "brown", "speech"]},
        {"transform": "gain", "gain": [-15, 0]},
    ],
    # Speech that was stored or sent small.
    "codec": [
        {"transform": "codec"},
    ],
    # All that real speech has and clean synthetic speech has not, each in a part of the clips.
    "broad": [
        {"transform": "speed", "probability": 0.5, "factor": [0.9, 1.1]},
        {"transform": "room", "probability": 0.5, "t60": [0.1, 0.7], "distance": [0.3, 3]},
        {"transform": "noise", "probability": 0.7, "snr": [5, 35]},
        {"transform": "band", "probability": 0.2},
        {"transform": "clipping", "probability": 0.05},
        {"transform": "gain", "probability": 0.5, "gain": [-10, 6]},
        {"transform": "telephone", "probability": 0.1},
        {"transform": "codec", "probability": 0.1},
    ],
}
