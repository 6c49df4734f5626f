"""`tune` and `chat`."""

import json
import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from syn2real.cli.main import app

TOLD = {"prompt": "Say yes", "completion": "Yes, gladly."}


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def examples(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text((json.dumps(TOLD) + "\n") * 4)
    return path


def test_tune_writes_a_model_and_its_record(chat_llama, examples, tmp_path):
    pytest.importorskip("trl")
    output = tmp_path / "tuned"
    options = ("--lora-rank", 2, "--epochs", 1, "--batch-size", 2, "--learning-rate", 1e-3, "--seed", 7, "--json")
    done = run("tune", examples, "--model", chat_llama, "-o", output, *options)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["settings"]["lora"]["rank"] == 2 and answer["settings"]["seed"] == 7
    assert (answer["examples"], answer["steps"], answer["model"]) == (4, 2, str(output))
    assert [row["step"] for row in answer["log"]] == [1]  # the first, then every fifth
    assert (output / "model.safetensors").is_file() and (output / "adapter").is_dir()
    again = run("tune", examples, "--model", chat_llama, "-o", output)
    assert again.exit_code == 1 and "already exists" in str(again.exception)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--method", "stf"), "method 'stf': unknown (did you mean 'sft'?)"),
        (("--lora-alpha", "8"), "the other options of LoRA need its rank: add --lora-rank, for instance 8"),
        (("--model", "smolm2-135m"), "unknown chat model 'smolm2-135m' (did you mean 'smollm2-135m'?)"),
    ],
)
def test_tune_names_what_is_wrong(examples, tmp_path, options, problem):
    done = run("tune", examples, "-o", tmp_path / "tuned", *options)
    assert done.exit_code == 1 and str(done.exception).startswith(problem)
    assert not (tmp_path / "tuned").exists()


def test_chat_replies_once_to_a_message(chat_llama):
    done = run("chat", chat_llama, "--message", "Hello", "--max-tokens", 3, "--temperature", 1, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["message"] == "Hello" and answer["reply"]
    spoken = run("chat", chat_llama, "--message", "Hello", "--max-tokens", 3, "--temperature", 1)
    assert spoken.stdout.strip() == answer["reply"]


def test_chat_needs_something_to_reply_to(chat_llama):
    assert "say what with --message" in str(run("chat", chat_llama).exception)
    assert "--message is not UTF-8" in str(run("chat", chat_llama, "--message", "a\udcff").exception)
    assert "--message is empty" in str(run("chat", chat_llama, "--message", " ").exception)


def test_chat_goes_on_until_one_leaves(chat_llama):
    """On a terminal: two replies, the second to the whole conversation, then a fresh start with the first again."""
    ours, theirs = pty.openpty()
    os.write(ours, b"Hello\nHello\n/new\nHello\n/quit\n")
    command = (sys.executable, "-m", "syn2real", "chat", str(chat_llama), "--max-tokens", "4")
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=120)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    replies = [line.lstrip("> ") for line in done.stdout.splitlines() if line.strip("> ")]
    assert len(replies) == 3 and replies[0] == replies[2] != replies[1]
