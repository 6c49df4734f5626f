"""Settings: options that are not in use leave no trace, so that what was made before them is still found."""

import pytest

from syn2real.errors import UserError
from syn2real.lora import LoraSettings
from syn2real.speech.training import TrainingSettings

PLAIN = [
    "epochs", "learning_rate", "batch_size", "warmup", "weight_decay", "full_windows", "patience", "precision",
    "checkpoint_steps", "seed",
]  # fmt: skip


def test_options_are_recorded_only_when_used():
    assert list(TrainingSettings().record()) == PLAIN
    assert list(TrainingSettings(lora=None, freeze=None, spec_augment=False).record()) == PLAIN
    used = TrainingSettings(lora=LoraSettings(rank=4), freeze=("encoder",), spec_augment=True)
    assert set(used.record()) - set(PLAIN) == {"lora", "freeze", "spec_augment"}
    assert used.record()["lora"]["rank"] == 4
    unused = TrainingSettings(batch_seconds=None, accumulation=1, train_only=(), layer_decay=1, compile=False)
    assert list(unused.record()) == PLAIN
    options = {"batch_seconds": 60.0, "accumulation": 2, "train_only": ("norm",), "layer_decay": 0.9, "compile": True}
    assert set(TrainingSettings(**options).record()) - set(PLAIN) == set(options)


def test_options_as_a_recipe_holds_them():
    read = TrainingSettings(lora={"rank": 4, "targets": ["q_proj"]}, freeze=["encoder"])  # type: ignore[arg-type]
    assert read == TrainingSettings(lora=LoraSettings(rank=4, targets=("q_proj",)), freeze=("encoder",))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"epochs": 0}, "must be above 0"),
        ({"warmup": 1}, "warmup is a share"),
        ({"full_windows": 1.1}, "full_windows is a share"),
        ({"accumulation": 0}, "accumulation 1 or more"),
        ({"patience": 0}, "patience and accumulation 1 or more"),
        ({"batch_seconds": 20}, "batch_seconds must be 30 or more"),
        ({"batch_seconds": float("nan")}, "batch_seconds must be 30 or more"),
        ({"layer_decay": 1.5}, "layer_decay is above 0 and at most 1"),
        ({"precision": "bf61"}, r"precision 'bf61': unknown \(did you mean 'bf16'\?\)"),
    ],
)
def test_values_that_make_no_sense(wrong, problem):
    with pytest.raises(UserError, match=problem):
        TrainingSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}])
def test_adapters_that_cannot_be(wrong):
    with pytest.raises(UserError, match="rank and alpha must be above 0"):
        LoraSettings(**wrong)
