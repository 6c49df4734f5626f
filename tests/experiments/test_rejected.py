"""Text that no voice can speak breaks no study, and is counted."""

import pytest

from syn2real.experiments.pipeline import Clips, Pipeline
from syn2real.experiments.recipe import SynthesisRecipe
from syn2real.experiments.stages import Stage, Workspace
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import ENGINES


def test_rejected_text_is_counted(tmp_path):
    reason = ENGINES.get("espeak")().available()
    if reason is not None:
        pytest.skip(reason)
    pipeline = Pipeline(Workspace(tmp_path), Stage("base", "key", tmp_path / "base"), "en")
    recipe = SynthesisRecipe(engines={"espeak": 1})
    some = pipeline.speak([Sentence("a", "One coffee."), Sentence("b", "☕☕"), Sentence("c", "")], recipe, 2, "some")
    all_ = pipeline.speak([Sentence("d", "Two teas.")], recipe, 1, "all")
    assert (some.rejected(), all_.rejected()) == (4, 0)
    assert [u.extra["sentence_id"] for u in some.load()] == ["a", "a"]
    joined = Clips.join([some, all_])
    assert joined.rejected() == 4 and len(joined.load()) == 3
