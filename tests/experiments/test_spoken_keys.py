"""A stage of speech is keyed by the words spoken, and by nothing of how they came about."""

import pytest

from syn2real.documents import parse_values
from syn2real.errors import UserError
from syn2real.experiments.pipeline import Pipeline
from syn2real.experiments.recipe import EvaluationRecipe, SynthesisRecipe
from syn2real.experiments.stages import Stage, Workspace
from syn2real.speech.corpus import Sentence


def key(tmp_path, text, **wording):
    pipeline = Pipeline(Workspace(tmp_path), Stage("base", "b", tmp_path), "en")
    return pipeline.speak([Sentence("s", text)], SynthesisRecipe(**wording), 1, "speech").key


def test_plain_text_has_one_key_however_it_is_worded(tmp_path):
    keys = {key(tmp_path, "plain words", **wording) for wording in ({}, {"verbalise": False}, {"label": "written"})}
    assert len(keys) == 1


def test_text_with_digits_is_keyed_by_speech_and_label(tmp_path):
    ways = ({}, {"verbalise": False}, {"label": "written"}, {"style": "slurp"})
    assert len({key(tmp_path, "At 5:30.", **wording) for wording in ways}) == len(ways)
    assert key(tmp_path, "At 5:30.") == key(tmp_path, "At 5:30.", verbalise=True, label="spoken")


def test_recipes_know_the_normalisers_of_languages():
    assert parse_values(EvaluationRecipe, {"normaliser": "spoken-es"}).normaliser == "spoken-es"
    with pytest.raises(UserError, match=r"normaliser: unknown normaliser 'spokn-es' \(did you mean 'spoken-es'\?\)"):
        parse_values(EvaluationRecipe, {"normaliser": "spokn-es"})
