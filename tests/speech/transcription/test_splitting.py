"""Where long recordings are cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.speech import audio
from syn2real.speech.corpus import Corpus
from syn2real.speech.transcription.splitting import EARLIEST, LONGEST, split

RATE = audio.SAMPLE_RATE


def blocks(samples: np.ndarray, size: int):
    return (samples[start : start + size] for start in range(0, len(samples), size))


@settings(max_examples=20)
@given(st.floats(0.01, 130), st.integers(1_000, 400_000), st.integers(0, 9))
def test_pieces_are_the_whole_recording_whatever_the_blocks(seconds, size, seed):
    samples = np.random.default_rng(seed).normal(0, 0.1, max(1, round(seconds * RATE))).astype(np.float32)
    found = list(split(blocks(samples, size)))
    assert found == list(split([samples]))
    assert found[0][0] == 0 and found[-1][1] == pytest.approx(len(samples) / RATE)
    assert all(a[1] == b[0] for a, b in pairwise(found))
    assert all(EARLIEST <= end - begin <= LONGEST for begin, end in found[:-1])
    assert 0 < found[-1][1] - found[-1][0] <= LONGEST + 0.02


def test_silence_is_one_length_after_the_other():
    assert len(list(split([np.zeros(100 * RATE, np.float32)]))) == 4


def test_real_recordings_are_cut_between_and_not_within(recordings):
    """Joined with pauses, every cut lies in one."""
    corpus = Corpus.load(recordings)
    pause = np.random.default_rng(0).normal(0, 1e-4, RATE // 2).astype(np.float32)
    parts, gaps, at = [], [], 0.0
    for utterance in corpus:
        clip = audio.read(utterance.audio_filepath)
        parts += [clip, pause]
        gaps.append((at + len(clip) / RATE, at + (len(clip) + len(pause)) / RATE))
        at = gaps[-1][1]
    cuts = [end for _, end in list(split(blocks(np.concatenate(parts), 77_777)))[:-1]]
    assert cuts and all(any(begin < cut < end for begin, end in gaps) for cut in cuts)
