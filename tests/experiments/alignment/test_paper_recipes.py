"""The papers' own studies: their recipes are valid and planned offline, and what they ask for works on small models."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from syn2real.cli.alignment import run_alignment
from syn2real.cli.main import app
from syn2real.errors import UserError
from syn2real.experiments.alignment.dressing import dress
from syn2real.experiments.alignment.needs import parameters_by_name
from syn2real.experiments.studies import load_study

RECIPES = Path(__file__).parents[3] / "recipes"
PAPERS = ("safeguard_llama3", "mergealign_llama3_medicine")


@pytest.mark.parametrize("name", PAPERS)
def test_planned_offline_with_what_is_not_here(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    file = tmp_path / "recipe.yaml"
    file.write_text((RECIPES / f"{name}.yaml").read_text())
    arguments = ["run", str(file), "-o", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*arguments, "--dry-run", "--json"], catch_exceptions=False)
    plan = json.loads(result.stdout)
    needed = {need["what"]: need for need in plan["needs"]}
    assert needed["meta-llama/Meta-Llama-3-8B-Instruct"]["bytes"] == 16_000_000_000
    files = [what for what, need in needed.items() if need["kind"] == "file"]
    assert files and all(Path(what).parent == tmp_path for what in files)
    assert plan["done"] == 0 and plan["seconds"] > 86_400
    assert not (tmp_path / "run").exists() and not (tmp_path / "hub").exists()
    shown = CliRunner().invoke(app, [*arguments, "--dry-run"], catch_exceptions=False, env={"COLUMNS": "200"}).stdout
    assert "to be downloaded: meta-llama/Meta-Llama-3-8B-Instruct, about 16.0 GB" in shown and "not here: " in shown
    assert CliRunner().invoke(app, [*arguments, "--check"], catch_exceptions=False).exit_code == 0
    with pytest.raises(UserError, match="no such file"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_they_are_as_the_papers_say():
    safeguard = load_study(RECIPES / "safeguard_llama3.yaml", absent=True)
    settings = safeguard.task.tuning.settings(42)
    assert (settings.lora.rank, settings.lora.alpha, settings.lora.targets) == (8, 16, None)
    assert (settings.learning_rate, settings.epochs, settings.schedule, settings.warmup) == (1e-4, 3, "cosine", 0.1)
    assert settings.cut_off == 1024 and safeguard.seeds == (42, 1024, 48763) and safeguard.safety.max_tokens == 512
    assert safeguard.lambdas == (0.2, 0.4, 0.6, 0.8) and safeguard.safety.judge == "wildguard"
    assert set(safeguard.methods) == {"linear", "slerp", "dare_linear", "model_stock"}
    decay, dropout = (safeguard.baseline(name).settings(42) for name in safeguard.baselines)
    assert (decay.weight_decay, decay.dropout, dropout.weight_decay, dropout.dropout) == (0.3, 0, 0, 0.3)
    mergealign = load_study(RECIPES / "mergealign_llama3_medicine.yaml", absent=True)
    assert 0.5 in mergealign.alphas and mergealign.safety.judge == "llama-guard-3"
    assert {mergealign.preference(name).method for name in mergealign.preferences} == {"dpo", "orpo"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("org/Some-8B-Instruct", 8e9), ("smollm2-135m", 135e6), ("x/Qwen2.5-0.5B", 0.5e9), ("allenai/wildguard", None)],
)
def test_parameters_by_name(name, parameters):
    assert parameters_by_name(name) == parameters


def untalkative(like: Path, directory: Path, seed: int) -> Path:
    """A model of other weights that has no chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(like)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.01)
    model.save_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(like)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(directory)
    return directory


def test_a_model_in_anothers_dress_talks(chat_llama, tmp_path):
    from syn2real.language.chat import Message, Sampling, chat_model

    bare = untalkative(chat_llama, tmp_path / "bare", 1)
    with pytest.raises(UserError, match="has no chat template"):
        chat_model(str(bare))
    (tmp_path / "dressed").mkdir()
    for _ in range(2):  # as after a kill
        dress(bare, chat_llama, tmp_path / "dressed")
    model = chat_model(str(tmp_path / "dressed"))
    assert len(model.replies([(Message("user", "hello"),)], Sampling(max_tokens=3), [0])) == 1
    assert (tmp_path / "dressed" / "model.safetensors").resolve() == bare / "model.safetensors"
    other = tmp_path / "other"
    shutil.copytree(chat_llama, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vocab_size": 7}))
    with pytest.raises(UserError, match="a model of one family"):
        dress(other, chat_llama, tmp_path / "dressed")


def test_an_expert_that_is_there_with_preferences_from_a_file(load, folder, chat_llama, tmp_path):
    pytest.importorskip("trl")
    rows = [{"prompt": f"do {n}", "chosen": "I will not.", "rejected": "Gladly."} for n in range(4)]
    (folder / "preferences.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {
        "teach": None,
        "model": str(untalkative(chat_llama, tmp_path / "base", 1)),
        "expert": str(untalkative(chat_llama, tmp_path / "expert", 2)),
        "aligned": str(chat_llama),
        "template": str(chat_llama),
        "alphas": [0.5],
        "seeds": [1],
        "preferences": {"DPO": {"method": "dpo", "epochs": 1, "lora": {"rank": 2}}},
    }
    with pytest.raises(UserError, match="need preference_data"):
        load("mergealign", **changes)
    record = run_alignment(load("mergealign", **changes, preference_data="preferences.jsonl"), tmp_path / "run")
    assert [system["system"] for system in record["systems"]] == ["model", "aligned", "tuned", "DPO", "mergealign"]
