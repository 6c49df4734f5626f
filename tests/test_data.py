"""The texts in `data/` are domain text as it is: sentences, each once, one a line."""

from pathlib import Path

import pytest

from syn2real.speech.corpus import distinct, read_sentences

TEXTS = sorted((Path(__file__).parents[1] / "data" / "domains").glob("*.txt"))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_texts_are_sentences(path):
    sentences = read_sentences(path)
    assert len(sentences) == len(distinct(sentences)) >= 50
    assert all(sentence.text[-1] in ".?" and sentence.text[0].isupper() for sentence in sentences)
    assert path.stem in (path.parents[1] / "README.md").read_text()
