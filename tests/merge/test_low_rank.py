"""Decompositions, adapters extracted from vectors, and PEFT loading them."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from syn2real.errors import CheckpointMismatch, UserError
from syn2real.merge import Checkpoint
from syn2real.merge.extraction import extract_lora
from syn2real.merge.low_rank import Matrix, Product, truncated_svd


def over(values):
    return Matrix(tuple(values.shape), lambda start, stop: values[start:stop])


@pytest.mark.parametrize("shape", [(900, 700), (300, 200)])
def test_factors_do_not_depend_on_threads_or_names(shape):
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(truncated_svd(over(values), 12))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].left, found[1].left) and torch.equal(found[0].right, found[1].right)


def decayed(rows, columns, decay=0.9, seed=0):
    """A matrix whose singular values fall by ``decay``."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(size, min(rows, columns), dtype=torch.float64, generator=generator)).Q
        for size in (rows, columns)
    )
    values = decay ** torch.arange(min(rows, columns), dtype=torch.float64)
    return left * values @ right.T, values


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), rank=st.integers(1, 4), data=st.data())
@settings(max_examples=30)
def test_products_by_any_range(rows, columns, rank, data):
    left, right = torch.randn(rows, rank), torch.randn(rank, columns)
    start = data.draw(st.integers(0, rows * columns))
    stop = data.draw(st.integers(start, rows * columns))
    wanted = (left.double() @ right.double()).view(-1)[start:stop]
    assert torch.allclose(Product(left, right).range(start, stop), wanted, rtol=1e-14, atol=1e-14)


def test_products_do_not_depend_on_the_range(monkeypatch):
    product = Product(torch.randn(700, 5), torch.randn(5, 301))
    whole = product.range(0, 700 * 301)
    at = [0, 1, 300, 301, 65_000, 65_401, 131_072, 200_001, 700 * 301]
    assert torch.equal(torch.cat([product.range(a, b) for a, b in itertools.pairwise(at)]), whole)


@pytest.mark.parametrize("shape", [(60, 30), (30, 60), (1500, 600), (600, 1500)])
def test_leading_triplets(shape):
    values, singular = decayed(*shape)
    found = truncated_svd(over(values), rank=12)
    assert found.rank == 12
    assert torch.allclose(found.values, singular[:12], rtol=1e-4)
    best = math.sqrt(((singular[12:] ** 2).sum() / (singular**2).sum()).item())
    measured = ((found.left * found.values @ found.right) - values).norm() / values.norm()
    assert math.isclose(found.error, measured.item(), rel_tol=1e-6)
    assert best <= found.error * (1 + 1e-9) <= best * 1.0001
    again = truncated_svd(over(values), rank=12)
    assert torch.equal(again.left, found.left) and torch.equal(again.right, found.right)
    for factor in (found.left.T, found.right):
        assert torch.allclose(factor @ factor.T, torch.eye(12, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 30), (1500, 600)])
def test_energy(shape):
    values, singular = decayed(*shape, decay=0.95)
    shares = torch.cumsum(singular**2, 0) / (singular**2).sum()
    for energy in (0.5, 0.9, 0.99):
        assert truncated_svd(over(values), energy=energy).rank == int((shares >= energy).nonzero()[0]) + 1
    assert truncated_svd(over(values[:20]), energy=1.0).error < 1e-6


def test_true_ranks_are_found():
    values = torch.randn(1200, 3, dtype=torch.float64) @ torch.randn(3, 700, dtype=torch.float64)
    found = truncated_svd(over(values), rank=20)
    assert found.rank == 3 and found.error < 1e-7
    assert truncated_svd(over(torch.zeros(5, 4, dtype=torch.float64)), rank=2).rank == 0
    assert truncated_svd(over(torch.zeros(0, 4, dtype=torch.float64)), energy=0.5).error == 0


peft = pytest.importorskip("peft", reason="loads the adapters with PEFT")
transformers = pytest.importorskip("transformers", reason="loads the adapters with PEFT")

from .test_adapter import gpt2, llama, whisper  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def pair(tmp_path):
    """A base and a fine-tuned model whose matrices differ by rank 3 and other tensors by noise; the latter's module."""

    def make(build=llama, rest=True):
        torch.manual_seed(3)
        model = build().to(torch.float32)
        model.save_pretrained(tmp_path / "base")
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    update = torch.randn(parameter.shape[0], 3) @ torch.randn(3, parameter.shape[1])
                    parameter += 0.05 * update
                elif rest:
                    parameter += 0.05 * torch.randn_like(parameter)
        model.save_pretrained(tmp_path / "tuned")
        return Checkpoint.open(tmp_path / "base"), Checkpoint.open(tmp_path / "tuned"), model.eval()

    return make


def inputs(model):
    torch.manual_seed(0)
    ids = torch.randint(3, 40, (2, 9))
    if hasattr(model.config, "num_mel_bins"):
        return {"input_features": torch.randn(2, 8, 40), "decoder_input_ids": ids}
    return {"input_ids": ids}


@pytest.mark.parametrize(
    "build", [llama, whisper, gpt2, lambda: llama(tie_word_embeddings=True), lambda: llama(attention_bias=True)]
)
def test_an_extracted_adapter_is_the_vector(pair, build, tmp_path):
    base, tuned, model = pair(build)
    report = extract_lora(tuned - base, base, tmp_path / "lora", rank=4)
    assert report.relative_error < 1e-6 and not report.left_out
    assert all(module.error < 1e-6 for module in report.modules)
    again = Checkpoint.open(base.path, adapter=tmp_path / "lora")
    for name in base:
        assert torch.allclose(again.read(name).float(), tuned.read(name), rtol=1e-5, atol=1e-5), name
    loaded = type(model).from_pretrained(base.path)
    adapted = peft.PeftModel.from_pretrained(loaded, tmp_path / "lora").eval()
    tied = "ensure_weight_tying" in json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    with torch.no_grad():
        wanted = model(**inputs(model)).logits
        if build is not gpt2:  # where PEFT leaves the tied output as it was
            assert torch.allclose(wanted, adapted(**inputs(model)).logits, rtol=1e-3, atol=1e-4)
        if build is gpt2 or not tied:  # elsewhere PEFT adds a tied update twice
            assert torch.allclose(wanted, adapted.merge_and_unload()(**inputs(model)).logits, rtol=1e-3, atol=1e-4)


def test_a_smaller_rank_says_what_it_misses(pair, tmp_path):
    base, tuned, _ = pair()
    tau = tuned - base
    reports = [extract_lora(tau, base, tmp_path / f"r{rank}", rank=rank) for rank in (1, 2, 3)]
    errors = [report.relative_error for report in reports]
    assert errors[0] > errors[1] > 0.1 > errors[2]
    assert reports[0].parameters < reports[2].parameters < reports[0].of_parameters
    back = Checkpoint.open(base.path, adapter=tmp_path / "r1") - base
    missed = math.sqrt(sum((tau.tensor(n) - back.tensor(n)).double().square().sum().item() for n in tau.names))
    assert math.isclose(errors[0], missed / tau.norm(), rel_tol=1e-5)
    written = json.loads((tmp_path / "r1" / "extraction.json").read_text())
    assert written["relative_error"] == errors[0]
    configuration = json.loads((tmp_path / "r1" / "adapter_config.json").read_text())
    assert configuration["base_model_name_or_path"] == "base" and str(tmp_path) not in json.dumps(configuration)


def test_sixteen_bits_say_what_they_cost(pair, tmp_path):
    base, tuned, _ = pair(rest=False)
    tau = tuned - base
    report = extract_lora(tau, base, tmp_path / "half", rank=3, dtype=torch.bfloat16)
    back = Checkpoint.open(base.path, adapter=tmp_path / "half") - base
    missed = math.sqrt(sum((tau.tensor(n) - back.tensor(n)).double().square().sum().item() for n in tau.names))
    assert math.isclose(report.relative_error, missed / tau.norm(), rel_tol=1e-3) and report.relative_error > 1e-4


def test_energy_gives_each_matrix_its_own_rank(pair, tmp_path):
    base, tuned, _ = pair(whisper)
    report = extract_lora(tuned - base, base, tmp_path / "lora", energy=0.9)
    assert len({module.rank for module in report.modules}) > 1
    assert all(module.error**2 <= 0.1 + 1e-9 for module in report.modules)
    Checkpoint.open(base.path, adapter=tmp_path / "lora")


@pytest.mark.parametrize("choice", ["lora", "save", "skip"])
def test_embeddings(pair, tmp_path, choice):
    base, tuned, _ = pair()
    report = extract_lora(tuned - base, base, tmp_path / "lora", rank=4, embeddings=choice)
    name = "model.embed_tokens"
    assert (name in [m.module for m in report.modules]) == (choice == "lora")
    assert (name in report.saved) == (choice == "save")
    assert (f"{name}.weight" in report.left_out) == (choice == "skip")
    same = torch.equal(
        Checkpoint.open(base.path, adapter=tmp_path / "lora").read(f"{name}.weight"), tuned.read(f"{name}.weight")
    )
    assert same == (choice == "save")
    tied = Checkpoint.open(pair(lambda: llama(tie_word_embeddings=True))[0].path)
    with pytest.raises(UserError, match="tied to its embeddings"):
        extract_lora(tied - tied, tied, tmp_path / "x", rank=4, embeddings="save")
    with pytest.raises(UserError, match="did you mean 'lora'"):
        extract_lora(tied - tied, tied, tmp_path / "x", rank=4, embeddings="lorra")


def test_the_rest_can_be_left_out(pair, tmp_path):
    base, tuned, _ = pair(whisper)
    report = extract_lora(tuned - base, base, tmp_path / "lora", rank=4, keep_rest=False)
    assert "model.encoder.conv1.weight" in report.left_out and "model.encoder.layers.0.fc1.bias" in report.left_out
    assert 0 < report.relative_error < 1
    stored = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    assert all("lora_" in name for name in stored)


def test_what_does_not_move_is_not_adapted(pair, tmp_path):
    base, _, _ = pair()
    weights = load_file(base.path / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] = weights["model.layers.0.mlp.up_proj.weight"] + torch.ones(40, 24)
    (tmp_path / "one").mkdir()
    save_file(weights, tmp_path / "one" / "model.safetensors")
    tau = Checkpoint.open(tmp_path / "one") - base
    report = extract_lora(tau, base, tmp_path / "lora", rank=8)
    assert [module.module for module in report.modules] == ["model.layers.0.mlp.up_proj"] and not report.saved
    with pytest.raises(UserError, match="nothing to extract"):
        extract_lora(base - base, base, tmp_path / "none", rank=1)


def test_extraction_refuses(pair, make, tmp_path):
    base, tuned, _ = pair()
    tau = tuned - base
    for settings_, problem in (
        ({}, "either a rank or an energy"),
        ({"rank": 0}, "at least 1"),
        ({"energy": 1.5}, "at most 1"),
        ({"rank": 1, "dtype": torch.int8}, "choose from"),
    ):
        with pytest.raises(UserError, match=problem):
            extract_lora(tau, base, tmp_path / "x", **settings_)
    with pytest.raises(CheckpointMismatch):
        extract_lora(tau, Checkpoint.open(make("other")), tmp_path / "x", rank=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UserError, match="already exists"):
        extract_lora(tau, base, tmp_path / "full", rank=1)
    assert not (tmp_path / "x").exists()
