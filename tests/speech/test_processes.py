"""Two processes over gloo: the training of one, also when both are killed on the way; the first alone writes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("transformers")

from syn2real.speech import audio
from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.training import TrainingSettings

# Seven clips: in the last batch of an epoch one of the two processes is idle. Some hear both windows and some one.
SETTINGS = TrainingSettings(
    epochs=3, batch_size=3, accumulation=2, checkpoint_steps=2, learning_rate=1e-3, full_windows=0.4, precision="fp32"
)
OPTIONS = "--epochs 3 --batch-size 3 --accumulation 2 --checkpoint-steps 2 --learning-rate 1e-3 --full-windows 0.4"


def start(arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Two processes of one command, with what torchrun tells its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "syn2real", *arguments],
            env=shared | {"MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def kill(running: list[subprocess.Popen[str]]) -> None:
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def manifests(recordings, tmp_path_factory) -> tuple[Path, Path]:
    """Seven clips, and five for dev, all 2 s long: each process cuts its share to the longest of that."""
    folder = tmp_path_factory.mktemp("equal")
    written = []
    for place, utterance in enumerate(Corpus.load(recordings).sample(12)):
        path = folder / f"{place}.wav"
        samples = np.resize(audio.read(utterance.audio_filepath), 2 * audio.SAMPLE_RATE)
        soundfile.write(path, samples, audio.SAMPLE_RATE)
        written.append(replace(utterance, audio_filepath=path, duration=2.0))
    train, dev = folder / "train.jsonl", folder / "dev.jsonl"
    Corpus.of(written[:7]).save(train)
    Corpus.of(written[7:]).save(dev)
    return train, dev


def test_two_processes_train_as_one_does(small_whisper, manifests, tmp_path):
    train, dev = manifests
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    finetune(small_whisper, Corpus.load(train), one, SETTINGS, dev=Corpus.load(dev))
    command = ["finetune", str(train), "-m", str(small_whisper), "--dev", str(dev), *OPTIONS.split()]
    command += ["--precision", "fp32", "-o", str(two)]

    running = start(command)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(".two.partial/trainer/checkpoint-2/complete")) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(running)
    assert not two.exists() and list(tmp_path.glob(".two.partial/trainer/checkpoint-*/complete"))

    first, second = start(command)
    said, _ = first.communicate(timeout=300)
    assert second.communicate(timeout=300)[0] == "" and (first.returncode, second.returncode) == (0, 0)
    assert said.startswith(f"{two}: 6 steps over 7 clips")
    assert {"model.safetensors", "training.json", "learning_curve.png"} < {path.name for path in two.iterdir()}
    expected, found = (json.loads((place / "training.json").read_text()) for place in (one, two))
    assert found["processes"] == 2 and "processes" not in expected
    assert len(found["log"]) == len(expected["log"]) == 9  # six losses, three dev losses
    for row, other in zip(expected["log"], found["log"], strict=True):
        assert other == pytest.approx(row, rel=2e-6)
