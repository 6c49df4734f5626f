"""What an engine is given, what the manifest says, and that plain text is none of it."""

import json

import pytest

from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus, Sentence
from syn2real.speech.engines import engine
from syn2real.speech.synthesis import SynthesisSettings, read_rejections, synthesize
from syn2real.speech.synthesis.wording import worded
from syn2real.speech.verbalisation import TextRule

WRITTEN = Sentence("w", "Wake me at 5:30, Dr. Li.")
WORDS = Sentence("w", "Wake me at five thirty, Doctor Li.")


@pytest.fixture(autouse=True)
def _espeak():
    reason = engine("espeak").available()
    if reason:
        pytest.skip(f"needs espeak: {reason}")


def spoken(folder, *sentences, **options) -> Corpus:
    return synthesize(sentences, SynthesisSettings(**options), folder, workers=1)


def test_digits_are_spoken_and_labelled_as_their_words(tmp_path):
    first = spoken(tmp_path / "a", WRITTEN)[0]
    second = spoken(tmp_path / "b", WORDS)[0]
    assert first.audio_filepath.read_bytes() == second.audio_filepath.read_bytes()
    assert first.text == second.text == WORDS.text
    assert first.extra["written"] == WRITTEN.text and "written" not in second.extra
    assert "spoken" not in first.extra


def test_plain_text_leaves_no_trace_of_the_rule(tmp_path):
    usual = spoken(tmp_path / "a", WORDS)
    other = spoken(tmp_path / "b", WORDS, verbalise=False)
    for name in ("manifest.jsonl", "audio/w-r0.flac"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert usual[0].text == other[0].text
    record = json.loads((tmp_path / "a" / "synthesis.json").read_text(encoding="utf-8"))
    assert not {"verbalise", "label", "style"} & record["settings"].keys()


def test_slurp_labels_are_bare_and_the_speech_keeps_its_commas(tmp_path):
    first = spoken(tmp_path / "a", WRITTEN, style="slurp")[0]
    assert first.text == "wake me at five thirty doctor li"
    assert first.extra["spoken"] == WORDS.text
    assert first.audio_filepath.read_bytes() == spoken(tmp_path / "b", WORDS)[0].audio_filepath.read_bytes()


def test_a_folder_of_other_labels_is_refused(tmp_path):
    spoken(tmp_path / "a", WRITTEN)
    with pytest.raises(UserError, match="holds speech made with other"):
        spoken(tmp_path / "a", WRITTEN, label="written")


def test_a_line_of_emoji_is_a_listed_rejection(tmp_path):
    corpus = spoken(tmp_path / "a", WORDS, Sentence("e", "🎉 ж"), Sentence("f", "fine 🎉"))
    assert [utterance.text for utterance in corpus] == [WORDS.text, "fine"]
    (rejection,) = read_rejections(tmp_path / "a")
    assert rejection.text == "🎉 ж" and "U+1F389 PARTY POPPER" in rejection.reason


def test_a_sentence_that_needs_no_wording_is_the_same_object():
    assert worded([WORDS], TextRule("en"))[0] is WORDS
