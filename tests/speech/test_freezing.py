"""Frozen groups stay bit for bit, and so do statistics that change without a gradient."""

import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import load_file

from syn2real.errors import UserError
from syn2real.merge.groups import groups_of
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.freezing import freeze, train_only
from syn2real.speech.recogniser import load_recogniser
from syn2real.speech.training import TrainingSettings

FEW = TrainingSettings(epochs=1, batch_size=2, learning_rate=1e-3, full_windows=0, precision="fp32")


def changed(base, tuned) -> dict[str, bool]:
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert before.keys() == after.keys()
    return {name: not torch.equal(before[name].float(), after[name]) for name in before}


@pytest.mark.parametrize("groups", [("encoder",), ("decoder",), ("embeddings", "norm")])
def test_a_frozen_group_stays_and_the_rest_is_trained(small_whisper, recordings, tmp_path, groups):
    settings = TrainingSettings(**FEW.record(), freeze=groups)
    finetune(small_whisper, Corpus.load(recordings).sample(4), tmp_path, settings)
    moved = changed(small_whisper, tmp_path)
    frozen = {name for name in moved if set(groups) & set(groups_of(name))}
    assert frozen and not any(moved[name] for name in frozen)
    assert all(moved[name] for name in moved if name not in frozen and name.endswith("fc1.weight"))


@pytest.mark.parametrize("groups", [("norm",), ("decoder", "bias")])
def test_nothing_is_trained_outside_of_the_named_groups(small_whisper, recordings, tmp_path, groups):
    settings = TrainingSettings(**FEW.record(), train_only=groups)
    finetune(small_whisper, Corpus.load(recordings).sample(4), tmp_path, settings)
    moved = changed(small_whisper, tmp_path)
    inside = {name for name in moved if set(groups) & set(groups_of(name))}
    assert inside and not any(moved[name] for name in moved if name not in inside)
    assert all(moved[name] for name in inside if name.endswith("norm.weight"))


def test_batch_norms_of_a_frozen_encoder_stay(small_ctc, recordings, tmp_path):
    base = small_ctc("wav2vec2-conformer")
    corpus = Corpus.load(recordings).sample(4)
    free, frozen = tmp_path / "free", tmp_path / "frozen"
    finetune(base, corpus, free, FEW)
    finetune(base, corpus, frozen, TrainingSettings(**FEW.record(), freeze=("encoder",)))
    statistics = [name for name in changed(base, free) if "running_" in name]
    assert statistics and all(changed(base, free)[name] for name in statistics)
    assert not any(changed(base, frozen)[name] for name in statistics)
    assert changed(base, frozen)["lm_head.weight"]


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        (["encodr"], r"no group 'encodr' \(did you mean 'encoder'\?\)"),
        (["encoder", "experts"], "no weights in group 'experts'"),
        (["encoder", "decoder"], "nothing is left to train"),
    ],
)
def test_what_cannot_be_frozen(small_whisper, groups, problem):
    with pytest.raises(UserError, match=problem):
        freeze(load_recogniser(small_whisper).model, groups)


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        (["norms"], r"train_only: no group 'norms' \(did you mean 'norm'\?\)"),
        (["experts"], "train_only: the model has no weights in group 'experts'"),
        (["decoder"], "all of decoder is frozen"),
    ],
)
def test_what_cannot_be_trained_alone(small_whisper, groups, problem):
    model = load_recogniser(small_whisper).model
    freeze(model, ["decoder"])
    with pytest.raises(UserError, match=problem):
        train_only(model, groups)


def test_activations_computed_twice_are_the_same(small_whisper, recordings, tmp_path):
    corpus = Corpus.load(recordings).sample(4)
    plain, twice = tmp_path / "plain", tmp_path / "twice"
    settings = TrainingSettings(**FEW.record() | {"full_windows": 0.5})
    finetune(small_whisper, corpus, plain, settings)
    finetune(small_whisper, corpus, twice, TrainingSettings(**settings.record(), gradient_checkpointing=True))
    for name, weight in load_file(plain / "model.safetensors").items():
        torch.testing.assert_close(load_file(twice / "model.safetensors")[name], weight)
    assert (plain / "config.json").read_bytes() == (twice / "config.json").read_bytes()
