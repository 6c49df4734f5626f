"""`finetune` on the command line: its options reach the training, and what makes no sense is refused in one line."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("transformers")

from syn2real.cli.main import app
from syn2real.errors import UserError


def syn2real(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def few(recordings) -> Path:
    """A manifest of four of the recordings."""
    path = recordings.with_name("four.jsonl")
    path.write_text("".join(recordings.read_text().splitlines(keepends=True)[:4]))
    return path


def test_how_a_step_is_made(small_whisper, few, tmp_path):
    output = tmp_path / "tuned"
    done = syn2real(
        "finetune", few, "-m", small_whisper, "-o", output, "--epochs", 2, "--batch-seconds", 30, "--full-windows", 0,
        "--accumulation", 2, "--train-only", "decoder", "--layer-decay", 0.8, "--precision", "fp32", "--warmup", 0,
        "--weight-decay", 0, "--checkpoint-steps", 1, "--workers", 1, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads((output / "training.json").read_text())
    settings = record["settings"]
    assert settings["batch_seconds"] == 30 and settings["accumulation"] == 2 and settings["layer_decay"] == 0.8
    assert settings["train_only"] == ["decoder"] and settings["precision"] == "fp32"
    assert settings["warmup"] == settings["weight_decay"] == 0 and settings["checkpoint_steps"] == 1
    assert record["steps"] == 2  # four clips fit into one batch
    assert (output / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("--batch-seconds", 10), "batch_seconds must be 30 or more"),
        (("--layer-decay", 0), "layer_decay is above 0"),
        (("--precision", "half"), "precision 'half': unknown"),
        (("--train-only", "norms"), "train_only: no group 'norms'"),
        (("--lora-alpha", 8), "add --lora-rank"),
    ],
)
def test_what_makes_no_sense(small_whisper, few, tmp_path, given, problem):
    error = syn2real("finetune", few, "-m", small_whisper, "-o", tmp_path / "tuned", *given).exception
    assert isinstance(error, UserError) and problem in str(error) and "\n" not in str(error)
    assert not any(tmp_path.iterdir())


def test_logs_for_tensorboard(small_whisper, few, tmp_path):
    logs = tmp_path / "logs"
    command = ("finetune", few, "-m", small_whisper, "-o", tmp_path / "tuned", "--batch-size", 1, "--epochs", 2)
    done = syn2real(*command, "--tensorboard", logs)
    if find_spec("tensorboard") is None:
        assert "pip install 'syn2real[tensorboard]'" in str(done.exception)
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logs))
    events.Reload()
    assert {"train/learning_rate", "train/loss"} <= set(events.Tags()["scalars"])
