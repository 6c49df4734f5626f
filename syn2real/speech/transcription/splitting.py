"""Long recordings cut where they are quiet, into pieces that fit Whisper's window, in memory that does not grow."""

from collections.abc import Iterable, Iterator

import numpy as np

from syn2real.speech.audio import SAMPLE_RATE

LONGEST = 28.0  # s of a piece: what Whisper's window holds, less what it needs to hear that speech has ended
EARLIEST = 16.0  # s before which no piece ends, so that there is context to hear by
FRAME = 0.02  # s over which power is taken
PAUSE = 0.3  # s that should be quiet around a cut
NEARLY = 2.0  # times the power of the quietest place: of places that quiet the last is taken


def split(blocks: Iterable[np.ndarray]) -> Iterator[tuple[float, float]]:
    """Begin and end (s) of the pieces of a recording given in blocks (float32 of shape (n,) at 16 kHz).

    A piece ends at the quietest place between 16 and 28 s after its begin; the last with the recording. Together they
    are the whole recording.
    """
    size = round(FRAME * SAMPLE_RATE)
    longest, earliest = round(LONGEST / FRAME), round(EARLIEST / FRAME)
    powers, rest = np.zeros(0), np.zeros(0, np.float32)
    begin, samples = 0, 0  # frames, samples
    for block in blocks:
        samples += block.size
        rest = np.concatenate([rest, block])
        whole = rest.size // size * size
        frames = rest[:whole].reshape(-1, size).astype(np.float64)
        powers = np.concatenate([powers, (frames**2).mean(axis=1)])
        rest = rest[whole:]
        while len(powers) > longest:
            cut = _quietest(powers[:longest], earliest)
            yield begin * FRAME, (begin + cut) * FRAME
            begin, powers = begin + cut, powers[cut:]
    if samples > begin * size:
        yield begin * FRAME, samples / SAMPLE_RATE


def _quietest(powers: np.ndarray, earliest: int) -> int:
    """The last of the quietest places from ``earliest`` on."""
    width = round(PAUSE / FRAME)
    around = np.convolve(powers, np.full(width, 1 / width), mode="same")[earliest : len(powers) - width // 2]
    quiet = np.flatnonzero(around <= NEARLY * around.min())
    return earliest + int(quiet[-1])
