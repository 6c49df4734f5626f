"""SmolLM2-135M, real weights: merged by method and by sum, it still speaks."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from syn2real.merge import Checkpoint, write
from syn2real.merge.plan import plan_recipe
from syn2real.merge.recipe import parse_recipe

transformers = pytest.importorskip("transformers")
pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def models(smollm, tmp_path_factory) -> list[Path]:
    """The instruct model in bfloat16, and two that are a little off, as after a short fine-tuning."""
    root = tmp_path_factory.mktemp("smollm")
    template = root / "template"
    transformers.AutoConfig.from_pretrained(smollm.parent, gguf_file=smollm.name).save_pretrained(template)
    transformers.AutoTokenizer.from_pretrained(smollm.parent, gguf_file=smollm.name).save_pretrained(template)
    plain = parse_recipe(expression="Q", models={"Q": str(smollm)}, out_dtype="bfloat16")
    write(plan_recipe(plain), root / "base", template=template)
    weights = load_file(root / "base" / "model.safetensors")
    for seed, name in enumerate("ab"):
        generator = torch.Generator().manual_seed(seed)
        (root / name).mkdir()
        noise = 1 + 0.003 * torch.randn(1 << 16, generator=generator)
        near = {
            key: (value.float().view(-1) * noise.repeat(-(-value.numel() // len(noise)))[: value.numel()])
            .view(value.shape)
            .bfloat16()
            for key, value in weights.items()
        }
        save_file(near, root / name / "model.safetensors", metadata={"format": "pt"})
        (root / name / "config.json").write_bytes((root / "base" / "config.json").read_bytes())
    return [root / name for name in ("base", "a", "b")]


@pytest.mark.parametrize("method", ["ties", "slerp", "dare_linear"])
def test_a_merged_language_model_speaks(models, tmp_path, method):
    base, a, b = map(str, models)
    recipe = parse_recipe(
        method=method, base=base, models=[{"model": m} for m in ((a,) if method == "slerp" else (a, b))]
    )
    out = write(plan_recipe(recipe), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    text = tokenizer("The capital of France is Paris, and the capital of Italy is Rome.", return_tensors="pt")
    untouched = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        losses = [float(m(**text, labels=text["input_ids"]).loss) for m in (untouched, model)]
    assert 1 < losses[0] < 4 and abs(losses[1] - losses[0]) < 0.3
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    assert "France" in tokenizer.decode(said[0, prompt["input_ids"].shape[1] :])


def test_a_gguf_file_can_be_merged_as_it_is(smollm, models, tmp_path):
    quantised = Checkpoint.open(smollm)
    tuned = Checkpoint.open(models[1])
    assert set(quantised) == set(tuned)
    recipe = parse_recipe(
        expression="A + 0.5 * (Q - A)", models={"A": str(models[1]), "Q": str(smollm)}, allow_dtypes=True
    )
    out = Checkpoint.open(write(plan_recipe(recipe), tmp_path / "out", template=models[0]))
    name = "model.layers.3.mlp.up_proj.weight"
    wanted = (tuned.read(name).double() + quantised.read(name).double()) / 2
    assert torch.equal(out.read(name), wanted.to(torch.bfloat16))
    assert json.loads((tmp_path / "out" / "merge.json").read_text())["recipe"]["models"]["Q"].endswith(".gguf")
