"""Which checkpoints a training goes on from: whole ones, of the same training."""

import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from transformers import TrainerControl, TrainerState, TrainingArguments

from syn2real.training_state import Marks, keep_only, last_checkpoint

FILES = ("model.safetensors", "optimizer.pt", "rng/rng_state.pth")


def saved(directory: Path, step: int) -> Path:
    """A checkpoint with its mark."""
    checkpoint = directory / f"checkpoint-{step}"
    for name in FILES:
        (checkpoint / name).parent.mkdir(parents=True, exist_ok=True)
        (checkpoint / name).write_text(f"{name} at {step}")
    arguments = TrainingArguments(output_dir=str(directory), report_to=[], use_cpu=True)
    Marks().on_save(arguments, TrainerState(global_step=step), TrainerControl())
    return checkpoint


@pytest.mark.parametrize("lost", FILES)
def test_a_checkpoint_that_was_being_removed_is_not_gone_on_from(tmp_path, lost):
    """The trainer keeps the best and removes the one before the last while the last has no mark yet."""
    best, before, last = (saved(tmp_path, step) for step in (2, 4, 6))
    assert last_checkpoint(tmp_path) == last
    (last / "complete").unlink()
    (before / lost).unlink()
    assert last_checkpoint(tmp_path) == best
    assert list(tmp_path.iterdir()) == [best]


def test_checkpoints_of_another_training_are_dropped_at_once_or_not_at_all(tmp_path, half_removed):
    directory = tmp_path / "trainer"
    keep_only(directory, {"settings": "first"})
    saved(directory, 2)
    half_removed("trainer", keep_only, directory, {"settings": "second"})
    keep_only(directory, {"settings": "first"})  # again as at first, of which a half is gone
    assert last_checkpoint(directory) is None
    assert [path.name for path in tmp_path.iterdir()] == ["trainer"]


def test_what_a_kill_left_of_another_is_cleared_beside_what_is_kept(tmp_path):
    directory = tmp_path / "trainer"
    keep_only(directory, {"settings": "first"})
    checkpoint = saved(directory, 2)
    shutil.copytree(directory, tmp_path / ".trainer.discarded")
    keep_only(directory, {"settings": "first"})
    assert last_checkpoint(directory) == checkpoint
    assert [path.name for path in tmp_path.iterdir()] == ["trainer"]
