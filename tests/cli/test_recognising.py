"""The commands that train and read recognisers, in the kinds and with the options that are not the default."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("transformers")

from syn2real.cli.main import app
from syn2real.errors import UserError


def syn2real(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    error = syn2real(*arguments).exception
    assert isinstance(error, UserError), error
    return str(error)


@pytest.fixture(scope="module")
def few(recordings) -> Path:
    """A manifest of four of the recordings."""
    path = recordings.with_name("few.jsonl")
    path.write_text("".join(recordings.read_text().splitlines(keepends=True)[:4]))
    return path


def test_all_options_of_training(small_whisper, few, tmp_path):
    pytest.importorskip("peft")
    output = tmp_path / "tuned"
    done = syn2real(
        "finetune", few, "-m", small_whisper, "-o", output, "--epochs", 1, "--batch-size", 2, "--lora-rank", 4,
        "--lora-alpha", 8, "--lora-dropout", 0.1, "--lora-target", "q_proj", "--lora-target", "fc1", "--rslora",
        "--freeze", "decoder", "--gradient-checkpointing", "--spec-augment", "--augment", "telephone", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads((output / "training.json").read_text())
    assert record["settings"]["lora"] == {
        "rank": 4, "alpha": 8, "dropout": 0.1, "targets": ["q_proj", "fc1"], "stabilised": True,
    }  # fmt: skip
    assert record["settings"]["freeze"] == ["decoder"]
    assert record["settings"]["gradient_checkpointing"] and record["settings"]["spec_augment"]
    assert record["augmentation"]["transforms"]
    config = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (4, 8, True)
    assert config["target_modules"] == [
        f"model.encoder.layers.{layer}.{name}" for layer in (0, 1) for name in ("fc1", "self_attn.q_proj")
    ]


def test_a_ctc_model_is_trained_read_and_scored(small_ctc, few, tmp_path):
    base, output = small_ctc("wav2vec2-conformer"), tmp_path / "tuned"
    assert syn2real("finetune", few, "-m", base, "-o", output, "--epochs", 1).exit_code == 0
    read = syn2real("transcribe", few, "-m", output, "-o", tmp_path / "heard.jsonl")
    assert read.exit_code == 0, read.output
    rows = [json.loads(line) for line in (tmp_path / "heard.jsonl").read_text().splitlines()]
    assert len(rows) == 4 and all("pred_text" in row for row in rows)
    assert syn2real("evaluate", few, "-m", output, "--json").exit_code == 0


def test_what_cannot_be(small_whisper, small_ctc, few, tmp_path):
    train = ("finetune", few, "-o", tmp_path / "tuned", "-m")
    assert "add --lora-rank" in refused(*train, small_whisper, "--lora-alpha", 8)
    assert "did you mean 'encoder'?" in refused(*train, small_whisper, "--freeze", "encodr")
    assert "unknown preset 'brod' (did you mean 'broad'?)" in refused(*train, small_whisper, "--augment", "brod")
    assert "no beams" in refused("transcribe", few, "-m", small_ctc("wav2vec2"), "--beams", 4)
    assert not (tmp_path / "tuned").exists()


def test_a_share_with_bad_clips_has_the_status_of_a_whole_run(small_ctc, few, tmp_path):
    rows = few.read_text() + json.dumps({"id": "gone", "audio_filepath": "audio/gone.wav", "text": "x"}) + "\n"
    bad = few.with_name("bad.jsonl")
    bad.write_text(rows)
    command = ("transcribe", bad, "-m", small_ctc("wav2vec2"), "--batch-size", 2, "-o", tmp_path / "heard.jsonl")
    share = syn2real(*command, "--shard", "1/2")
    assert share.exit_code == 3 and "1 of 5 recordings could not be heard" in share.stderr
    assert syn2real(*command, "--shard", "2/2").exit_code == 3 and (tmp_path / "heard.jsonl").is_file()
