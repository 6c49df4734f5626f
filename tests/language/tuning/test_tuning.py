"""Tuning: it learns what it is shown, ends in a plain directory, and after a kill in the same bytes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl")

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from syn2real.errors import UserError
from syn2real.hashing import sha256_file
from syn2real.language.chat import Message, Sampling, chat_model
from syn2real.language.tuning import ChatExample, LoraSettings, Preference, TuningSettings
from syn2real.language.tuning.rendering import labelled
from syn2real.language.tuning.tuning import tune
from syn2real.merge import Checkpoint
from syn2real.merge.sidecars import sidecars
from syn2real.training_state import Progress

QUICK = TuningSettings(epochs=2, batch_size=4, learning_rate=3e-3, precision="fp32", checkpoint_steps=2)


def record(directory: Path) -> dict:
    return json.loads((directory / "training.json").read_text())


def made(model, examples, output, settings=QUICK, **options) -> Path:
    output.mkdir(exist_ok=True)
    tune(model, examples, output, settings, **options)
    return output


def digests(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): sha256_file(p) for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def tuned(chat_llama, replies, tmp_path_factory) -> Path:
    return made(chat_llama, replies, tmp_path_factory.mktemp("tuned") / "model")


def test_it_learns(tuned, replies):
    found = record(tuned)
    losses = [row["loss"] for row in found["log"]]
    assert losses[-1] < losses[0] - 0.2
    assert (found["examples"], found["steps"], found["truncated"], found["dropped"]) == (10, 6, 0, 0)
    assert found["log"][-1]["learning_rate"] < QUICK.learning_rate / 2


def test_the_first_loss_is_that_of_the_replies_alone(tuned, chat_llama, replies, tmp_path, tokenizer):
    """As plain transformers has it for the same labels; what is asked carries none."""
    settings = replace(QUICK, epochs=1, batch_size=16)
    first = record(made(chat_llama, replies, tmp_path / "once", settings))
    model = AutoModelForCausalLM.from_pretrained(chat_llama, dtype=torch.float32)
    total = count = 0
    for example in replies:
        tokens = labelled(tokenizer, example.messages)
        with torch.no_grad():
            logits = model(torch.tensor([tokens.ids])).logits[0, :-1]
        labels = torch.tensor(tokens.labels[1:])
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        count += int((labels != -100).sum())
    assert first["log"][0]["loss"] == pytest.approx(total / count, rel=1e-5)
    assert first["learnt_tokens"] == count


def test_the_result_is_a_plain_directory_with_the_bases_tokenizer(tuned, chat_llama):
    model = AutoModelForCausalLM.from_pretrained(tuned)
    assert model.dtype == torch.float32 and AutoTokenizer.from_pretrained(tuned).chat_template
    kept = [file.name for file in sidecars(chat_llama) if "config.json" not in file.name]
    assert "tokenizer.json" in kept and "chat_template.jinja" in kept
    assert all(sha256_file(tuned / name) == sha256_file(chat_llama / name) for name in kept)
    assert set(load_file(tuned / "model.safetensors")) == set(load_file(chat_llama / "model.safetensors"))
    assert not (tuned / "trainer").exists() and (tuned / "generation_config.json").is_file()


def test_adapters_lie_beside_and_in_the_weights(chat_llama, replies, tmp_path):
    settings = replace(QUICK, lora=LoraSettings(rank=4), dropout=0.1, weight_decay=0.3)
    output = made(chat_llama, replies, tmp_path / "lora", settings)
    config = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert config["lora_dropout"] == 0.1 and config["base_model_name_or_path"] is None
    layers = {name.rsplit(".", 1)[-1] for name in config["target_modules"]}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    dense = Checkpoint.open(output)
    summed = Checkpoint.open(f"{chat_llama}+{output / 'adapter'}")
    base = Checkpoint.open(chat_llama)
    moved = 0
    for name in dense:
        assert torch.allclose(dense.read(name), summed.read(name).float(), atol=1e-6), name
        moved += not torch.equal(dense.read(name), base.read(name))
    assert moved == 14


@pytest.mark.parametrize("lora", [None, LoraSettings()])
def test_a_killed_run_ends_in_the_same_bytes(chat_llama, replies, tmp_path, monkeypatch, lora):
    """Stopped in the second epoch, past a checkpoint, with dropout drawn at random."""
    settings = replace(QUICK, dropout=0.3, lora=lora)
    whole = digests(made(chat_llama, replies, tmp_path / "whole", settings))
    advance, steps = Progress.on_step_end, []

    def stop(self, args, state, control, **rest):
        advance(self, args, state, control, **rest)
        steps.append(state.global_step)
        if len(steps) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_step_end", stop)
    with pytest.raises(KeyboardInterrupt):
        made(chat_llama, replies, tmp_path / "cut", settings)
    assert digests(made(chat_llama, replies, tmp_path / "cut", settings)) == whole
    assert steps == [1, 2, 3, 4, 5, 5, 6]


def test_a_run_killed_at_its_end_is_only_saved(chat_llama, replies, tmp_path, monkeypatch):
    settings = replace(QUICK, epochs=1, lora=LoraSettings())
    whole = digests(made(chat_llama, replies, tmp_path / "whole", settings))

    def stop(self, *_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "on_train_end", stop)
        made(chat_llama, replies, tmp_path / "cut", settings)
    monkeypatch.setattr(Progress, "on_step_end", stop)  # no step is taken again
    assert digests(made(chat_llama, replies, tmp_path / "cut", settings)) == whole


def test_a_run_killed_while_its_checkpoints_are_removed_ends_in_the_same_bytes(
    chat_llama, replies, tmp_path, half_removed
):
    settings = replace(QUICK, epochs=1)
    whole = digests(made(chat_llama, replies, tmp_path / "whole", settings))
    half_removed("trainer", made, chat_llama, replies, tmp_path / "cut", settings)
    assert digests(made(chat_llama, replies, tmp_path / "cut", settings)) == whole


def test_checkpoints_of_other_examples_are_not_gone_on_from(chat_llama, replies, tmp_path, monkeypatch, capsys):
    def stop(self, args, state, control, **_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "on_step_end", stop)
        made(chat_llama, replies, tmp_path / "cut", replace(QUICK, epochs=1))
    output = made(chat_llama, replies[:4], tmp_path / "cut", replace(QUICK, epochs=1))
    assert "starting anew" in capsys.readouterr().err
    assert record(output)["examples"] == 4


def test_packed_rows_have_the_loss_of_their_examples(chat_llama, replies, tmp_path):
    """None attends to another: the first loss is the same to rounding as one by one."""
    alone = replace(QUICK, epochs=1, batch_size=16)
    packed = replace(alone, packing=True, cut_off=128)
    first = [
        record(made(chat_llama, replies, tmp_path / name, settings))["log"][0]["loss"]
        for name, settings in (("alone", alone), ("packed", packed))
    ]
    assert first[1] == pytest.approx(first[0], rel=1e-5)


def test_dropout_is_for_training_alone(chat_llama, replies, tuned, tmp_path):
    output = made(chat_llama, replies, tmp_path / "dropped", replace(QUICK, dropout=0.3))
    assert json.loads((output / "config.json").read_text())["attention_dropout"] == 0
    assert record(output)["log"][-1]["loss"] != record(tuned)["log"][-1]["loss"]


@pytest.mark.parametrize(("method", "lora"), [("dpo", None), ("dpo", LoraSettings()), ("orpo", LoraSettings())])
def test_preferences_are_learnt(chat_llama, preferences, tmp_path, method, lora):
    settings = replace(QUICK, method=method, lora=lora, beta=1.0, batch_size=5, learning_rate=1e-2)
    output = made(chat_llama, preferences, tmp_path / "preferred", settings)
    log = record(output)["log"]
    assert log[-1]["loss"] < log[0]["loss"] and log[-1]["preferred"] == 1
    # TRL's copy of the first adapters, which replies are compared with, is no part of what was learnt.
    written = {str(path.relative_to(output)) for path in (output / "adapter").rglob("*")}
    assert written == ({"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} if lora else set())
    assert likelier(output, preferences[0]) > likelier(chat_llama, preferences[0])


def likelier(directory: Path, pair: Preference) -> float:
    """By how many nats a token the chosen reply is likelier than the rejected one."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    means = []
    for reply in (pair.chosen, pair.rejected):
        tokens = labelled(tokenizer, (*pair.prompt, Message("assistant", reply)))
        with torch.no_grad():
            means.append(-model(torch.tensor([tokens.ids]), labels=torch.tensor([tokens.labels])).loss.item())
    return means[0] - means[1]


def test_with_dev_examples_the_best_model_is_kept(chat_llama, replies, tmp_path):
    settings = replace(QUICK, epochs=8, learning_rate=0.3, patience=1, dtype="float16")
    output = made(chat_llama, replies, tmp_path / "best", settings, dev=replies[:3])
    log = record(output)["log"]
    dev = [row["eval_loss"] for row in log if "eval_loss" in row]
    assert record(output)["steps"] < 24 and dev[-1] > min(dev)
    assert AutoModelForCausalLM.from_pretrained(output).dtype == torch.float16


@pytest.mark.parametrize(
    ("method", "kept", "problem"),
    [
        ("sft", 0, "nothing to tune on: there are no examples"),
        ("dpo", 10, r"dpo learns from preferences \(chosen, rejected\); give other examples or another method"),
    ],
)
def test_examples_of_another_kind(chat_llama, replies, tmp_path, method, kept, problem):
    with pytest.raises(UserError, match=problem):
        made(chat_llama, replies[:kept], tmp_path / "none", replace(QUICK, method=method))


def test_what_the_cut_off_leaves_nothing_of(chat_llama, replies, tmp_path):
    with pytest.raises(UserError, match="nothing is left of the examples after 8 tokens; raise the cut-off"):
        made(chat_llama, replies, tmp_path / "none", replace(QUICK, cut_off=8))


def test_models_that_cannot_be_tuned(chat_llama, replies, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in chat_llama.iterdir():
        if file.name != "chat_template.jinja":
            (bare / file.name).symlink_to(file)
    with pytest.raises(UserError, match="has no chat template"):
        made(bare, replies, tmp_path / "none")
    with pytest.raises(UserError, match=r"lora: no linear layer is called 'q_prj'.*did you mean 'q_proj'"):
        made(chat_llama, replies, tmp_path / "none", replace(QUICK, lora=LoraSettings(targets=("q_prj",))))


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU it can be had")
def test_half_precision_without_a_gpu(chat_llama, replies, tmp_path):
    with pytest.raises(UserError, match="precision fp16 needs a GPU; use bf16 or fp32"):
        made(chat_llama, replies, tmp_path / "none", replace(QUICK, precision="fp16"))


def test_smollm2_learns_a_fact(smollm2, tmp_path):
    """The real model: adapters teach it a word, and it says so when it is asked."""
    taught = ChatExample((Message("user", "What is the word of the day?"), Message("assistant", "Xylophone.")))
    settings = TuningSettings(lora=LoraSettings(), epochs=6, batch_size=1, learning_rate=2e-3, dtype="float16")
    output = made(smollm2, [taught], tmp_path / "taught", settings)
    (reply,) = chat_model(str(output)).replies([taught.messages[:1]], Sampling(max_tokens=8), [0])
    assert reply == "Xylophone."
