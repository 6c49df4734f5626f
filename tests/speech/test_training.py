"""Settings: options that are not in use leave no trace, so that what was made before them is still found."""

import pytest

from syn2real.errors import UserError
from syn2real.speech.training import LoraSettings, TrainingSettings

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


def test_options_as_a_recipe_holds_them():
    read = TrainingSettings(lora={"rank": 4, "targets": ["q_proj"]}, freeze=["encoder"])  # type: ignore[arg-type]
    assert read == TrainingSettings(lora=LoraSettings(rank=4, targets=("q_proj",)), freeze=("encoder",))


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}])
def test_adapters_that_cannot_be(wrong):
    with pytest.raises(UserError, match="rank and alpha must be above 0"):
        LoraSettings(**wrong)
