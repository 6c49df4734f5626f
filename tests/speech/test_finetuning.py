"""Fine-tuning on real recordings: it learns, works in both windows, and a killed run ends in the same bytes."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from transformers import WhisperTokenizer

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.speech.batch_order import BatchOrder
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.scoring import Pair, score
from syn2real.speech.training import TrainingSettings
from syn2real.speech.transcription import TranscriptionSettings, transcribe

SETTINGS = TrainingSettings(epochs=3, batch_size=4, learning_rate=3e-5, checkpoint_steps=4, full_windows=0.06)
RUN = """
import sys
from pathlib import Path
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.training import TrainingSettings

model, manifest, output = map(Path, sys.argv[1:])
settings = TrainingSettings(epochs=3, batch_size=4, learning_rate=3e-5, checkpoint_steps=4, full_windows=0.06)
output.mkdir(exist_ok=True)
finetune(model, Corpus.load(manifest), output, settings)
"""


@pytest.fixture(scope="module")
def tuned(tiny_en, recordings, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("tuned")
    finetune(tiny_en, Corpus.load(recordings), output, SETTINGS)
    return output


def test_it_learns_and_holds_in_both_windows(tuned, tiny_en, recordings):
    corpus = Corpus.load(recordings)

    def errors(model: Path, window: str) -> int:
        texts = transcribe(model, corpus, TranscriptionSettings(window=window))
        return score([Pair(u.id, u.text, texts[u.id]) for u in corpus], "english").total.errors

    before = errors(tiny_en, "full")
    assert errors(tuned, "short") < before
    assert errors(tuned, "full") < before


def test_the_saved_model_is_plain_whisper(tuned):
    from transformers import WhisperForConditionalGeneration

    model, loaded = WhisperForConditionalGeneration.from_pretrained(tuned, output_loading_info=True)
    assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
    assert model.model.encoder.embed_positions.weight.shape == (1500, 384)
    assert model.config.max_source_positions == 1500
    assert sorted(path.name for path in tuned.iterdir() if path.is_dir()) == []


@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_run_ends_in_the_same_bytes(tuned, tiny_en, recordings, tmp_path, torn):
    output = tmp_path / "killed"
    command = [sys.executable, "-c", RUN, str(tiny_en), str(recordings), str(output)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(output.glob("trainer/checkpoint-*/complete")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "model.safetensors").exists()
    assert list(output.glob("trainer/checkpoint-*/complete")), "killed before the first checkpoint"
    if torn:  # as if killed while writing the next checkpoint
        (output / "trainer" / "checkpoint-99").mkdir()
        (output / "trainer" / "checkpoint-99" / "model.safetensors").write_bytes(b"half")
    finetune(tiny_en, Corpus.load(recordings), output, SETTINGS)
    for name in ("model.safetensors", "training.json"):
        assert sha256_file(output / name) == sha256_file(tuned / name)
    assert not (output / "trainer").exists()


@pytest.mark.parametrize("patience", [1, None], ids=["by patience", "by its steps"])
def test_a_training_killed_when_over_is_not_gone_on_with(tiny_en, recordings, tmp_path, monkeypatch, patience):
    """Killed after the last step and before the model is saved, it ends in the same bytes without another step."""
    corpus = Corpus.load(recordings)
    settings = replace(SETTINGS, epochs=20, checkpoint_steps=2, learning_rate=1e-3, full_windows=0.0)
    settings = replace(settings, patience=patience) if patience else replace(settings, epochs=1, learning_rate=1e-5)
    dev = corpus.sample(4, 1) if patience else None
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finetune(tiny_en, corpus.sample(8), whole, settings, dev=dev)
    record = json.loads((whole / "training.json").read_text())
    if patience:
        assert record["steps"] < 40
        assert any("eval_loss" in row for row in record["log"])

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WhisperTokenizer, "save_pretrained", kill)  # the first thing saved that no checkpoint holds
        finetune(tiny_en, corpus.sample(8), cut, settings, dev=dev)
    monkeypatch.setattr(BatchOrder, "__iter__", lambda self: pytest.fail("it was trained further"))
    finetune(tiny_en, corpus.sample(8), cut, settings, dev=dev)
    for name in ("model.safetensors", "training.json", "config.json"):
        assert sha256_file(cut / name) == sha256_file(whole / name)


def test_every_epoch_has_its_own_order(tiny_en, recordings, tmp_path, monkeypatch):
    seen = []
    plain = BatchOrder.__iter__

    def noted(self):
        seen.append(self.epoch)
        return plain(self)

    monkeypatch.setattr(BatchOrder, "__iter__", noted)
    finetune(tiny_en, Corpus.load(recordings).sample(8), tmp_path, replace(SETTINGS, full_windows=0.0))
    assert set(seen) == {0, 1, 2}


OPTIONS = {
    "by seconds": {"batch_seconds": 30.0, "full_windows": 0.0, "checkpoint_steps": 1},
    "accumulated": {"batch_size": 2, "accumulation": 3, "full_windows": 0.3},
    "rates by layer": {"layer_decay": 0.7, "train_only": ("attention", "norm")},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_with_options_an_interrupted_training_ends_in_the_same_bytes(
    small_whisper, recordings, tmp_path, interrupted, options
):
    """Also where the clips are read ahead by another process."""
    corpus = Corpus.load(recordings).sample(16)
    settings = replace(SETTINGS, **{"epochs": 2, "checkpoint_steps": 2, "precision": "fp32"} | options)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finetune(small_whisper, corpus, whole, settings)
    interrupted(2 * len(corpus) - 4, small_whisper, corpus, cut, settings)
    assert list(cut.glob("trainer/checkpoint-*/complete"))
    finetune(small_whisper, corpus, cut, settings, workers=1)
    for name in ("model.safetensors", "training.json"):
        assert sha256_file(cut / name) == sha256_file(whole / name)


def test_accumulated_batches_are_one_large_one(small_whisper, recordings, tmp_path):
    """Unequal ones too: each token of a step weighs the same."""
    corpus = Corpus.load(recordings).sample(5)
    whole = replace(SETTINGS, epochs=1, batch_size=5, full_windows=1, precision="fp32", checkpoint_steps=1)
    losses = []
    for name, settings in (("whole", whole), ("parts", replace(whole, batch_size=2, accumulation=3))):
        (tmp_path / name).mkdir()
        finetune(small_whisper, corpus, tmp_path / name, replace(settings, epochs=2))
        losses.append([row["loss"] for row in json.loads((tmp_path / name / "training.json").read_text())["log"]])
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_nothing_to_train_on(tiny_en, tmp_path):
    with pytest.raises(UserError, match="empty"):
        finetune(tiny_en, Corpus.of(()), tmp_path)


FULL_DISK = """
import resource, sys
from pathlib import Path
from syn2real.errors import UserError
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.training import TrainingSettings

model, manifest, output = map(Path, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
try:
    finetune(model, Corpus.load(manifest).sample(1), output, TrainingSettings(epochs=1, full_windows=0))
except UserError as error:
    sys.exit(f"error: {error}")
"""


def test_a_full_disk_is_one_line_with_a_remedy(tiny_en, recordings, tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tiny_en), str(recordings), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}") and "make room on the disk" in last


def test_checkpoints_of_other_settings_are_not_resumed(tuned, tiny_en, recordings, tmp_path):
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "identity.json").write_text("{}")
    (tmp_path / "trainer" / "checkpoint-4").mkdir()
    (tmp_path / "trainer" / "checkpoint-4" / "complete").write_text("")
    finetune(tiny_en, Corpus.load(recordings), tmp_path, SETTINGS)
    assert sha256_file(tmp_path / "model.safetensors") == sha256_file(tuned / "model.safetensors")
