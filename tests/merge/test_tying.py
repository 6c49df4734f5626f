"""Heads that one model stores and another does not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.errors import UserError
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.output import write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe
from tests.merge.llamas import llama, load, save

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def with_head(model: Path, copy: Path, change: float = 0.0, **config: Any) -> Path:
    """The same model with its embedding stored a second time, as a head."""
    copy.mkdir()
    weights = load_file(model / "model.safetensors")
    save_file(weights | {HEAD: weights[EMBEDDING] + change}, copy / "model.safetensors", metadata={"format": "pt"})
    (copy / "config.json").write_text(json.dumps(json.loads((model / "config.json").read_text()) | config))
    return copy


def merged(output: Path, **recipe: Any) -> Path:
    return write(plan_recipe(parse_recipe(**recipe)), output, threads=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {name: save(folder / name, llama(tie_word_embeddings=True), seed) for seed, name in enumerate("ab")}
    found["stored"] = with_head(found["b"], folder / "stored")
    found["untied"] = with_head(found["b"], folder / "untied", 0.5, tie_word_embeddings=False)
    return found


@pytest.mark.parametrize("form", ["method", "expression"])
def test_a_head_that_repeats_the_embedding_is_left_out(models: dict[str, Path], tmp_path: Path, form: str) -> None:
    a, stored = str(models["a"]), str(models["stored"])
    if form == "method":
        out = merged(tmp_path / "out", method="linear", models=[a, stored])
    else:
        out = merged(tmp_path / "out", expression="(A + B) / 2", models={"A": a, "B": stored})
    assert HEAD not in Checkpoint.open(out)
    model = load(out)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    mean = (Checkpoint.open(a).read(EMBEDDING).double() + Checkpoint.open(stored).read(EMBEDDING)) / 2
    assert torch.equal(model.model.embed_tokens.weight, mean.float())


def test_a_head_of_its_own_is_not_dropped(models: dict[str, Path]) -> None:
    plan = plan_recipe(parse_recipe(method="linear", models=[str(models["a"]), str(models["untied"])]))
    assert "untied stores lm_head.weight, which is not its model.embed_tokens.weight" in str(plan.problems[0])
    assert "make untied the anchor" in str(plan.problems[0])


def test_a_tied_model_lends_its_embedding_to_an_untied_anchor(models: dict[str, Path], tmp_path: Path) -> None:
    untied, a = (Checkpoint.open(models[name]) for name in ("untied", "a"))
    out = merged(tmp_path / "out", expression="U + 0.5*(A - U)", models={"U": str(untied.path), "A": str(a.path)})
    model = load(out)
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    for found, own in ((model.lm_head.weight, HEAD), (model.model.embed_tokens.weight, EMBEDDING)):
        expected = (untied.read(own).double() + a.read(EMBEDDING)) / 2
        assert torch.equal(found, expected.float())


def test_an_anchor_that_stores_its_tied_head_keeps_it_tied(models: dict[str, Path], tmp_path: Path) -> None:
    out = merged(tmp_path / "out", method="slerp", models=[str(models["stored"]), str(models["a"])])
    stored = Checkpoint.open(out)
    assert torch.equal(stored.read(HEAD), stored.read(EMBEDDING))
    load(out)


def test_a_missing_head_of_an_untied_model_is_a_mismatch(models: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    weights = load_file(models["a"] / "model.safetensors")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((models["a"] / "config.json").read_text()) | {"tie_word_embeddings": False}
    (broken / "config.json").write_text(json.dumps(config))
    plan = plan_recipe(parse_recipe(method="linear", models=[str(models["untied"]), str(broken)]))
    assert "lm_head.weight is not in broken" in str(plan.problems[0])


def test_copies_of_a_shared_embedding(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, vocab_size=16)
    a, b = save(tmp_path / "a", config, 1), save(tmp_path / "b", config, 2)
    weights = load_file(b / "model.safetensors")
    copies = {f"{side}.embed_tokens.weight": weights["shared.weight"].clone() for side in ("encoder", "decoder")}
    save_file(weights | copies | {HEAD: weights["shared.weight"].clone()}, b / "model.safetensors", {"format": "pt"})
    for anchor, other in ((a, b), (b, a)):
        out = merged(tmp_path / f"from-{anchor.name}", method="linear", models=[str(anchor), str(other)])
        assert list(Checkpoint.open(out)) == list(Checkpoint.open(anchor))
        assert torch.equal(
            Checkpoint.open(out).read("shared.weight"),
            ((load_file(a / "model.safetensors")["shared.weight"].double() + weights["shared.weight"]) / 2).float(),
        )


def test_proj_out_of_whisper(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tests.merge.test_slices import save_whisper

    a = save_whisper(tmp_path / "a")
    weights = load_file(a / "model.safetensors")
    b = tmp_path / "b"
    b.mkdir()
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"].clone()
    save_file(weights, b / "model.safetensors", metadata={"format": "pt"})
    (b / "config.json").write_bytes((a / "config.json").read_bytes())
    out = merged(tmp_path / "out", method="linear", models=[str(a), str(b)])
    assert "proj_out.weight" not in Checkpoint.open(out)
    load(out, kind=transformers.WhisperForConditionalGeneration)


def test_unrelated_extra_tensors_stay_a_mismatch(models: dict[str, Path], tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    weights = load_file(models["a"] / "model.safetensors") | {"v_head.weight": torch.zeros(16, 8)}
    save_file(weights, extra / "model.safetensors", metadata={"format": "pt"})
    (extra / "config.json").write_bytes((models["a"] / "config.json").read_bytes())
    with pytest.raises(UserError, match=r"v_head.weight is not in b"):
        merged(tmp_path / "out", method="linear", models=[str(models["b"]), str(extra)])
