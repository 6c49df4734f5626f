from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syn2real.errors import UserError
from syn2real.speech.corpora.overlap import Overlap, write_rest
from syn2real.speech.corpora.splits import split_corpus
from syn2real.speech.corpus import Corpus, Utterance, sentence_key


def corpus(number: int = 200, speakers: int = 20, sentences: int = 40) -> Corpus:
    return Corpus.of(
        Utterance(f"u{n}", Path("x.flac"), 1.0, f"Sentence {n % sentences}!", speaker=f"s{n % speakers}")
        for n in range(number)
    )


@settings(max_examples=25)
@given(st.integers(0, 99), st.sampled_from(["speaker", "text"]), st.floats(0.1, 0.3), st.floats(0.1, 0.3))
def test_splits_share_nothing(seed: int, by: str, dev: float, test: float) -> None:
    whole = corpus()
    splits = split_corpus(whole, dev, test, by=by, seed=seed)  # type: ignore[arg-type]
    parts = {name: splits.part(name) for name in ("train", "dev", "test")}
    assert [u.id for u in splits.corpus] == [u.id for u in whole] and splits.left_out == 0
    assert sum(map(len, parts.values())) == len(whole)
    units = [{u.speaker if by == "speaker" else sentence_key(u.text) for u in part} for part in parts.values()]
    assert not (units[0] & units[1] or units[0] & units[2] or units[1] & units[2])
    distinct = 20 if by == "speaker" else 40
    assert abs(len(units[2]) - test * distinct) <= 0.5 and abs(len(units[1]) - dev * distinct) <= 1


def test_unseen_drops_from_train_what_is_tested() -> None:
    mixed = Corpus.of(
        Utterance(f"u{n}", Path("x.flac"), 1.0, f"Sentence {n * n % 83}", speaker=f"s{n % 10}") for n in range(200)
    )
    plain = split_corpus(mixed, 0.1, 0.2)
    unseen = split_corpus(mixed, 0.1, 0.2, unseen=True)
    assert plain.shared_sentences() > 0 == unseen.shared_sentences()
    assert len(unseen.part("train")) == len(plain.part("train")) - unseen.left_out
    assert unseen.part("test") == plain.part("test") and unseen.part("dev") == plain.part("dev")


def test_a_larger_dev_set_does_not_change_test() -> None:
    one, two = split_corpus(corpus(), 0.1, 0.2), split_corpus(corpus(), 0.3, 0.2)
    assert one.part("test") == two.part("test")
    assert {u.id for u in one.part("dev")} < {u.id for u in two.part("dev")}


@pytest.mark.parametrize(
    ("speakers", "dev", "test", "by", "problem"),
    [
        (20, 0.5, 0.5, "speaker", "fractions whose sum is above 0 and below 1"),
        (20, 0.0, 0.0, "text", "fractions whose sum"),
        (20, -0.1, 0.2, "text", "fractions whose sum"),
        (2, 0.1, 0.1, "speaker", r"would be empty: there are 2 distinct units \(speaker\)"),
        (0, 0.1, 0.1, "speaker", "200 of 200 utterances have no speaker; split them by text"),
    ],
)
def test_splits_that_cannot_be(speakers: int, dev: float, test: float, by: str, problem: str) -> None:
    made = corpus(speakers=speakers or 1)
    if not speakers:
        made = Corpus.of(Utterance(u.id, u.audio_filepath, 1.0, u.text) for u in made)
    with pytest.raises(UserError, match=problem):
        split_corpus(made, dev, test, by=by)  # type: ignore[arg-type]


def test_every_training_sentence_tested() -> None:
    with pytest.raises(UserError, match="every training sentence is also in dev or test"):
        split_corpus(corpus(sentences=1), 0.1, 0.1, unseen=True)


def test_overlap_sees_through_case_and_punctuation() -> None:
    found = Overlap.of(["One coffee!", "two teas", "one  coffee", "Three.", "three"], ["ONE, coffee", "four"])
    assert found.shared == ["one coffee"]
    assert found.rest() == [1, 3, 4] and found.rest(once=True) == [1, 3]


def test_the_rest_is_written_as_it_stands(tmp_path: Path) -> None:
    text, manifest = tmp_path / "menu.txt", tmp_path / "menu.jsonl"
    text.write_text("  One coffee\n\nTwo teas\nThree\n")
    write_rest(text, tmp_path / "out.txt", Overlap.of_files(text, text).rest() or [1, 2])
    assert (tmp_path / "out.txt").read_text() == "Two teas\nThree\n"
    manifest.write_text('{"text": "a", "x": 1}\n{"text": "b", "audio_filepath": "b.flac"}\n')
    write_rest(manifest, tmp_path / "out.jsonl", [1])
    assert (tmp_path / "out.jsonl").read_text() == '{"text": "b", "audio_filepath": "b.flac"}\n'
    with pytest.raises(UserError, match=r"audio paths are relative to .*; write the new manifest there"):
        write_rest(manifest, tmp_path / "other" / "out.jsonl", [1])
    with pytest.raises(UserError, match="nothing is left"):
        write_rest(manifest, tmp_path / "none.jsonl", [])
