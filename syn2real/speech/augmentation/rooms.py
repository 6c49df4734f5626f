"""Reverberation: of a shoebox room drawn for each clip, or of rooms that were measured.

A simulated response has two parts. Early reflections come from the image-source method (Allen and Berkley 1979,
"Image method for efficiently simulating small-room acoustics"), until one arrives in every sample. From there on a
response is statistically Gaussian noise that decays exponentially, and is drawn as that (Lehmann and Johansson 2010,
"Diffuse reverberation model for efficient image-source simulation of room impulse responses"). So the decay time is
the one asked for, and a response costs a millisecond; following every image to -60 dB takes hundreds.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from syn2real.speech import audio
from syn2real.speech.audio import SAMPLE_RATE
from syn2real.speech.augmentation.recordings import Recorded
from syn2real.speech.augmentation.spectrum import convolve, power
from syn2real.speech.augmentation.transform import Interval, Transform, Within, transform

SOUND = 343.0  # m/s, in dry air of 20 °C
MARGIN = 0.5  # m that talker and microphone keep from every wall
DECAY = 3 * np.log(10)  # amplitude falls by 60 dB, a factor of exp(-DECAY), in the decay time
TAPS = 81  # of the windowed sinc that places an arrival between two samples
_HALF = TAPS // 2


@dataclass(frozen=True)
class Shoebox:
    """A rectangular room with a talker and a microphone in it."""

    size: np.ndarray  # m: length, width, height
    talker: np.ndarray  # m from a corner
    microphone: np.ndarray  # m from the same corner
    t60: float  # s in which sound decays by 60 dB

    @property
    def volume(self) -> float:
        """m³."""
        return float(np.prod(self.size))

    @property
    def reflection(self) -> float:
        """What a wall leaves of the pressure, by Eyring's formula for the decay time.

        Negative: alternating signs keep the images from summing to a huge response at 0 Hz, which no room has.
        """
        x, y, z = self.size
        surface = 2 * (x * y + y * z + z * x)
        return -float(np.exp(-4 * DECAY * self.volume / (SOUND * surface * self.t60)))

    @property
    def mixing_time(self) -> float:
        """Seconds after which an image arrives in every sample: 4πc³t²/V of them arrive in a second."""
        return float(np.sqrt(self.volume * SAMPLE_RATE / (4 * np.pi * SOUND**3)))

    def images(self, until: float) -> tuple[np.ndarray, np.ndarray]:
        """Arrival times in s and amplitudes of all images heard within ``until`` seconds (Allen and Berkley, eq. 9)."""
        reach = until * SOUND
        squares, orders = np.zeros(1), np.zeros(1)
        for length, talker, microphone in zip(self.size, self.talker, self.microphone, strict=True):
            cells = np.arange(-int(reach / (2 * length)) - 1, int(reach / (2 * length)) + 2)
            offsets = np.concatenate([2 * cells * length + talker, 2 * cells * length - talker]) - microphone
            bounces = np.concatenate([2 * np.abs(cells), np.abs(cells - 1) + np.abs(cells)])
            squares = (squares[:, None] + offsets**2).ravel()
            orders = (orders[:, None] + bounces).ravel()
            near = squares <= reach**2
            squares, orders = squares[near], orders[near]
        distances = np.sqrt(squares)
        return distances / SOUND, self.reflection**orders / (4 * np.pi * distances)

    def response(self, random: np.random.Generator) -> np.ndarray:
        """Impulse response at 16 kHz, float32, the direct sound `TAPS` // 2 samples after its start."""
        direct = float(np.linalg.norm(self.talker - self.microphone)) / SOUND
        mixed = max(self.mixing_time, direct)
        times, amplitudes = self.images(mixed)
        places = (times - direct) * SAMPLE_RATE + _HALF
        early = int(np.ceil((mixed - direct) * SAMPLE_RATE)) + _HALF
        late = np.arange(early, int((self.t60 - direct) * SAMPLE_RATE) + _HALF)
        response = np.zeros(max(early, late[-1] + 1 if late.size else 0) + TAPS, np.float32)
        taps = np.arange(-_HALF, _HALF + 1)
        nearest = np.round(places).astype(int)
        away = taps - (places - nearest)[:, None]
        kernels = np.sinc(away) * (0.5 + 0.5 * np.cos(np.pi * away / (_HALF + 1)))
        np.add.at(response, nearest[:, None] + taps, (kernels * amplitudes[:, None]).astype(np.float32))
        # Images at time t have the amplitude 1/(4πct), and there are 4πc³t²/V of them in a second: their power a
        # sample is c/(4πV · rate), whatever t, times the decay.
        level = np.sqrt(SOUND / (4 * np.pi * self.volume * SAMPLE_RATE))
        decay = np.exp(-DECAY / self.t60 * ((late - _HALF) / SAMPLE_RATE + direct))
        response[late] += (level * decay * random.standard_normal(late.size)).astype(np.float32)
        return response


def reverberate(samples: np.ndarray, response: np.ndarray, onset: int) -> np.ndarray:
    """``samples`` in a room: as long and as loud (RMS) as before, the direct sound (at ``onset``) not delayed."""
    wet = convolve(samples, response)[onset : onset + samples.size]
    loud = power(wet)
    return wet if loud == 0 else wet * np.float32(np.sqrt(power(samples) / loud))


@transform("room")
@dataclass(frozen=True)
class Room(Transform):
    """A shoebox room, drawn anew for each clip, with talker and microphone at random places in it.

    ``t60`` is the decay time in s; ``distance`` in m is between talker and microphone, or the most the room allows.
    """

    t60: Annotated[Interval, Within(0.05, 5, "s")] = (0.15, 0.7)
    distance: Annotated[Interval, Within(0.05, 30, "m")] = (0.5, 3)
    length: Annotated[Interval, Within(2, 60, "m")] = (3, 10)
    width: Annotated[Interval, Within(2, 60, "m")] = (3, 8)
    height: Annotated[Interval, Within(2, 20, "m")] = (2.4, 4)

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`."""
        return reverberate(samples, self.draw(random).response(random), _HALF)

    def draw(self, random: np.random.Generator) -> Shoebox:
        """A room."""
        size = np.array([random.uniform(*side) for side in (self.length, self.width, self.height)])
        t60, distance = random.uniform(*self.t60), random.uniform(*self.distance)
        microphone = random.uniform(MARGIN, size - MARGIN)
        directions = random.standard_normal((32, 3))
        talkers = microphone + distance * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        inside = np.clip(talkers, MARGIN, size - MARGIN)
        # The first direction that fits the room; where none does, the one that must be shortened least.
        talker = inside[np.argmin(np.abs(np.linalg.norm(inside - microphone, axis=1) - distance).round(9))]
        return Shoebox(size, talker, microphone, t60)


@transform("measured_room")
@dataclass(frozen=True)
class MeasuredRoom(Recorded):
    """A room whose impulse response was measured: one recording of ``source`` a clip, channels averaged."""

    def __call__(self, samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """See `Transform`. Raises `AudioError` for a response that cannot be read or is silent."""
        response = audio.read(self.draw(random))
        return reverberate(samples, response, int(np.abs(response).argmax()))
