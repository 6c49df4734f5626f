"""Augmentation: noise, rooms, lines and codecs, drawn anew for every clip and epoch and always the same for a seed."""

from syn2real.speech.augmentation.augmentation import Augmentation, Step
from syn2real.speech.augmentation.channels import Band, Codec, Telephone
from syn2real.speech.augmentation.levels import Clipping, Gain, Speed
from syn2real.speech.augmentation.manifest import augmented, materialise, read_utterance
from syn2real.speech.augmentation.noise import Background, Noise
from syn2real.speech.augmentation.presets import PRESETS
from syn2real.speech.augmentation.rooms import MeasuredRoom, Room
from syn2real.speech.augmentation.transform import TRANSFORMS, Among, Interval, Transform, Within, transform

__all__ = [
    "PRESETS",
    "TRANSFORMS",
    "Among",
    "Augmentation",
    "Background",
    "Band",
    "Clipping",
    "Codec",
    "Gain",
    "Interval",
    "MeasuredRoom",
    "Noise",
    "Room",
    "Speed",
    "Step",
    "Telephone",
    "Transform",
    "Within",
    "augmented",
    "materialise",
    "read_utterance",
    "transform",
]
