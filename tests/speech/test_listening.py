"""Prompts and times, by transformers and by CTranslate2, on real recordings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from syn2real.errors import UserError
from syn2real.speech import audio
from syn2real.speech.corpus import Corpus
from syn2real.speech.ctranslate2_whisper import CTranslate2Whisper, converted
from syn2real.speech.listening import Listening
from syn2real.speech.recogniser import load_recogniser

FULL = Listening(short=False)


@pytest.fixture(scope="module")
def corpus(recordings) -> Corpus:
    return Corpus.load(recordings).sample(2)


@pytest.fixture(scope="module")
def clips(corpus) -> list[np.ndarray]:
    return [audio.read(utterance.audio_filepath) for utterance in corpus]


@pytest.fixture(scope="module", params=["transformers", "ctranslate2"])
def listener(request, tiny_en):
    if request.param == "transformers":
        return load_recogniser(tiny_en)
    pytest.importorskip("ctranslate2")
    return CTranslate2Whisper.load(tiny_en)


def test_the_parts_of_a_joined_recording_are_told_apart_in_time(listener, clips):
    pause = np.zeros(audio.SAMPLE_RATE, np.float32)
    joined = np.concatenate([clips[0], pause, clips[1]])
    border = len(clips[0]) / audio.SAMPLE_RATE, (len(clips[0]) + len(pause)) / audio.SAMPLE_RATE
    (alone,) = listener.listen([joined], replace(FULL, times="word"))
    assert " ".join(span.text for span in alone.spans) == alone.text
    begins = [span.begin for span in alone.spans]
    assert begins == sorted(begins) and all(span.begin <= span.end <= len(joined) / 16_000 for span in alone.spans)
    inside = [span for span in alone.spans if border[0] + 0.2 < (span.begin + span.end) / 2 < border[1] - 0.2]
    assert not inside, "a word in the pause"
    assert any(span.end < border[0] + 0.2 for span in alone.spans)
    assert any(span.begin > border[1] - 0.3 for span in alone.spans)


def test_segments_hold_the_text(listener, clips):
    for clip, heard in zip(clips, listener.listen(clips, Listening(short=True, times="segment")), strict=True):
        assert " ".join(span.text for span in heard.spans) == heard.text
        assert all(0 <= span.begin <= span.end <= len(clip) / 16_000 for span in heard.spans)


def test_a_prompt_is_taken_up_and_not_written(listener, clips):
    short = Listening(short=True)
    plain, prompted = (listener.listen(clips, replace(short, prompt=said)) for said in (None, "Quetzalcoatl, 1999!"))
    assert plain != prompted
    assert all("Quetzalcoatl, 1999" not in heard.text for heard in prompted)
    with pytest.raises(UserError, match=r"a prompt of \d+ tokens exceeds Whisper's 223"):
        listener.listen(clips, replace(FULL, prompt="a long story " * 100))


def test_ctranslate2_hears_what_transformers_hears(tiny_en, clips):
    pytest.importorskip("ctranslate2")
    texts = [
        one.hear(clips, short=False, beams=1) for one in (load_recogniser(tiny_en), CTranslate2Whisper.load(tiny_en))
    ]
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= 1  # a sum in another order may turn a close choice


class Counted:
    """A model of CTranslate2 that notes how many clips its encoder is given."""

    def __init__(self, model) -> None:
        self.model, self.sizes = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def encode(self, mel):
        self.sizes.append(mel.shape[0])
        return self.model.encode(mel)


def test_threads_of_ctranslate2_share_the_clips_and_hear_the_same(tiny_en, recordings):
    pytest.importorskip("ctranslate2")
    clips = [audio.read(utterance.audio_filepath) for utterance in Corpus.load(recordings).sample(5)]
    threads = torch.get_num_threads()
    listener = CTranslate2Whisper.load(tiny_en)
    assert torch.get_num_threads() == threads
    assert listener.workers == (torch.get_num_threads() if listener.model.device == "cpu" else None)
    whole, parts = (replace(listener, model=Counted(listener.model), workers=workers) for workers in (None, 2))
    for times in (None, "word"):  # words are timed from what the encoder made
        how = Listening(short=True, times=times)
        assert parts.listen(clips, how) == whole.listen(clips, how)
    assert whole.model.sizes[0] == 5
    assert set(parts.model.sizes) == {1}


def test_a_model_is_converted_once_and_types_are_checked(tiny_en, small_ctc):
    pytest.importorskip("ctranslate2")
    place = converted(tiny_en, "int8")
    before = (place / "model.bin").stat().st_mtime_ns
    assert converted(tiny_en, "int8") == place and (place / "model.bin").stat().st_mtime_ns == before
    assert (place / "model.bin").stat().st_size < 0.3 * (converted(tiny_en, "float32") / "model.bin").stat().st_size
    with pytest.raises(UserError, match="did you mean 'int8'"):
        CTranslate2Whisper.load(tiny_en, compute_type="int9")
    with pytest.raises(UserError, match=r"this CPU has none; choose from .*float32"):
        CTranslate2Whisper.load(tiny_en, compute_type="int8_float16")
    with pytest.raises(UserError, match="this is a CTC model; use transformers"):
        CTranslate2Whisper.load(small_ctc("wav2vec2"))


def test_words_need_alignment_heads(small_whisper, clips):
    with pytest.raises(UserError, match=r"names no alignment_heads; take them"):
        load_recogniser(small_whisper).listen(clips[:1], replace(FULL, times="word"))


def test_ctc_times_words_by_its_frames(small_ctc, clips):
    listener = load_recogniser(small_ctc("wav2vec2"))
    for clip, heard in zip(clips, listener.listen(clips, replace(FULL, times="word")), strict=True):
        assert [span.text for span in heard.spans] == heard.text.split()
        assert all(0 <= span.begin < span.end <= len(clip) / 16_000 for span in heard.spans)
    (one,) = listener.listen(clips[:1], replace(FULL, times="segment"))
    assert len(one.spans) == 1 and one.spans[0].text == one.text
    with pytest.raises(UserError, match="takes no prompt"):
        listener.listen(clips[:1], replace(FULL, prompt="menu"))
