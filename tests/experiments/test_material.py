"""What a study could not say at its end is refused before it begins."""

from dataclasses import replace

import pytest

from syn2real.errors import UserError
from syn2real.experiments.material import (
    Material,
    adaptation_material,
    require_intervals,
    require_material,
    strict_halves,
)
from syn2real.experiments.recipe import Recipe
from syn2real.speech.corpus import Corpus, distinct, sentence_key


@pytest.fixture
def spoken(spoken_english) -> Corpus:
    """Eight real recordings of as many sentences."""
    said = {sentence_key(utterance.text): utterance for utterance in spoken_english}
    return Corpus.of(list(said.values())[:8])


def recipe(*, strict: bool) -> Recipe:
    return Recipe.model_validate(
        {"model": "m", "target": ["a"], "corpus": {"manifest": "m.jsonl"}, "evaluation": {"strict": strict}}
    )


def test_the_strict_halves_share_no_sentence(spoken):
    text = distinct(spoken.sentences)
    half, unseen = strict_halves(recipe(strict=True), spoken, text)
    assert len(half) == len(unseen) == 4
    assert not {sentence_key(s.text) for s in half} & {sentence_key(u.text) for u in unseen}


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_strict_table_that_would_be_empty_is_refused_at_once(spoken, left):
    text = distinct(spoken.sentences)
    half, unseen = strict_halves(recipe(strict=True), spoken, text)
    synthesised = {sentence_key(s.text) for s in half}
    test = spoken.filter(lambda u: sentence_key(u.text) in synthesised) + Corpus.of(list(unseen)[:left])
    require_intervals(recipe(strict=False), test, text)
    if left == 2:
        require_intervals(recipe(strict=True), test, text)
        return
    with pytest.raises(UserError, match=rf"evaluation.strict: .* of {4 + left} only {left} would be left"):
        require_intervals(recipe(strict=True), test, text)


def test_without_recordings_there_is_no_strict_table_to_refuse(spoken):
    require_intervals(recipe(strict=True), Corpus.of(()), distinct(spoken.sentences))
    unsaid = [replace(sentence, text=f"{sentence.text} not") for sentence in spoken.sentences]
    require_intervals(recipe(strict=True), spoken, distinct(unsaid))


def test_real_speech_of_the_target_is_no_source(spoken, tmp_path, capsys):
    """However it came into the manifest: what is made of it would not be made from text alone."""
    folder = spoken[0].audio_filepath.parent
    Corpus.of(replace(u, domain=name) for u, name in zip(spoken, "aabbccdd", strict=True)).save(
        manifest := folder / "domains.jsonl"
    )
    (tmp_path / "a.txt").write_text("one sentence\nand another\n")
    (tmp_path / "two.jsonl").write_text('{"text": "one", "domain": "b"}\n{"text": "two", "domain": "c"}\n')
    for text, left in (("a.txt", ["b", "c", "d"]), ("two.jsonl", ["a", "d"])):
        material = adaptation_material(manifest, tmp_path / text, [], None)
        assert material.source.domains == left
        assert "left out, for it is the target" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UserError, match="--held-out a: is the target's own domain"):
        adaptation_material(manifest, tmp_path / "a.txt", ["a"], None)


def test_domains_that_say_the_same_leave_nothing_to_choose_with(spoken):
    """Near and far recordings, say: with one of them as the target no sentence is left for a vector."""
    several = recipe(strict=False)
    near, far = (Corpus.of(replace(u, id=f"{u.id}-{name}", domain=name) for u in spoken) for name in ("near", "far"))
    nothing, text = Corpus.of(()), distinct(spoken.sentences)
    with pytest.raises(UserError, match=r"the other source domains say nothing that '(near|far)' does not"):
        require_material(several, Material(near + far, nothing, nothing, text))
    given = several.model_copy(update={"scale": 0.8})
    require_material(given, Material(near + far, nothing, nothing, text))
    apart = Corpus.of(list(near)[:4]) + Corpus.of(list(far)[4:])
    require_material(several, Material(apart, nothing, nothing, text))
