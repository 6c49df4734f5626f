"""What a checkpoint may be resumed with: the same model, whatever its weights are kept in."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file

from syn2real.speech.checkpoints import identity_of
from syn2real.speech.corpus import Corpus
from syn2real.speech.pretrained import weight_files
from syn2real.speech.training import DEFAULTS


@pytest.fixture
def pickled(small_ctc, tmp_path) -> Path:
    """A model as older releases of transformers saved it."""
    model = tmp_path / "model"
    shutil.copytree(small_ctc("wav2vec2"), model)
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    return model


def test_a_model_is_told_by_its_weights_its_settings_and_its_tokenizer(pickled, recordings):
    corpus = Corpus.load(recordings)

    def identity() -> str:
        return json.dumps(identity_of(pickled, corpus, None, DEFAULTS, "en", None))

    found = [identity()]
    assert identity() == found[0]
    weights = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    weights["lm_head.bias"] += 1
    torch.save(weights, pickled / "pytorch_model.bin")
    found.append(identity())
    for name in ("config.json", "vocab.json"):
        (pickled / name).write_text((pickled / name).read_text() + "\n")
        found.append(identity())
    assert len(set(found)) == 4


def test_adapters_belong_to_weights_alone(pickled, small_ctc):
    assert [path.name for path in weight_files(pickled)] == ["pytorch_model.bin"]
    model = small_ctc("wav2vec2")
    assert [path.name for path in weight_files(model)] == ["model.safetensors"]
