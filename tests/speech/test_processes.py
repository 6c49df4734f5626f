"""Two processes over gloo: the training of one, also when both are killed on the way; the first alone writes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from syn2real.speech.corpus import Corpus
from syn2real.speech.finetuning import finetune
from syn2real.speech.training import TrainingSettings

# Seven clips: in the last batch of an epoch one of the two processes is idle. All are padded to 30 s, or each process
# would cut its share to the longest of that.
SETTINGS = TrainingSettings(
    epochs=3, batch_size=3, accumulation=2, checkpoint_steps=2, learning_rate=1e-3, full_windows=1, precision="fp32"
)
OPTIONS = "--epochs 3 --batch-size 3 --accumulation 2 --checkpoint-steps 2 --learning-rate 1e-3 --full-windows 1"


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
    """Seven clips, and five for dev."""
    corpus = Corpus.load(recordings)
    train, dev = recordings.with_name("seven.jsonl"), recordings.with_name("five.jsonl")
    corpus.sample(7).save(train)
    corpus.sample(5, 1).save(dev)
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
