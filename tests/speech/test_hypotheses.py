"""What was heard once is not heard again, whatever a kill left of the file."""

import pytest

pytest.importorskip("transformers")

from dataclasses import replace

from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus
from syn2real.speech.hypotheses import KeptHypotheses, clip_key
from syn2real.speech.transcription import TranscriptionSettings, settings, transcribe

FOURS = TranscriptionSettings(batch_size=4)


@pytest.fixture
def model(small_ctc):
    return small_ctc("wav2vec2")


@pytest.fixture
def corpus(recordings):
    return Corpus.load(recordings)


@pytest.fixture
def loads(monkeypatch) -> list[object]:
    """Every recogniser that was loaded."""
    made: list[object] = []
    load = settings.load_recogniser

    def counted(*arguments):
        made.append(load(*arguments))
        return made[-1]

    monkeypatch.setattr(settings, "load_recogniser", counted)
    return made


def test_a_second_run_loads_no_model_and_says_the_same(model, corpus, loads, tmp_path):
    plain = transcribe(model, corpus, FOURS)
    first = transcribe(model, corpus, FOURS, kept=KeptHypotheses(tmp_path / "kept.jsonl"))
    assert len(loads) == 2
    again = transcribe(model, corpus, FOURS, kept=KeptHypotheses(tmp_path / "kept.jsonl"))
    assert len(loads) == 2
    assert plain == first == again


def test_a_killed_run_hears_only_what_is_missing(model, corpus, tmp_path):
    kept = tmp_path / "kept.jsonl"
    whole = transcribe(model, corpus, FOURS, kept=KeptHypotheses(kept))
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[:13]) + lines[13][:20])  # two batches, and a part of the third's third line
    batches: list[int] = []

    class Counted(KeptHypotheses):
        def keep(self, batch, texts):
            batches.append(len(batch))
            super().keep(batch, texts)

    assert transcribe(model, corpus, FOURS, kept=Counted(kept)) == whole
    assert batches == [4] * 4  # of six
    assert transcribe(model, corpus, FOURS, kept=KeptHypotheses(kept)) == whole


def test_a_clip_is_known_by_its_sound_and_not_by_its_name(corpus):
    first, second = corpus[0], corpus[1]
    assert clip_key(first) == clip_key(replace(first, id="other", text="other"))
    assert clip_key(first) != clip_key(second)
    noisy = {"augmentation": {"transforms": [{"noise": {}}], "seed": 0}}
    assert clip_key(replace(first, extra=noisy)) not in (clip_key(first), clip_key(replace(first, id="b", extra=noisy)))


def test_a_place_that_cannot_be_written_is_said(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"kept.jsonl: .*; make room"):
        KeptHypotheses(tmp_path / "file" / "kept.jsonl").keep([corpus[0]], ["a"])
