"""Tiny models with random adapters, made by PEFT, and the comparison with what PEFT merges them to."""

import pytest
import torch
from safetensors.torch import load_file

from syn2real.merge import Checkpoint

peft = pytest.importorskip("peft", reason="compares with PEFT's merge_and_unload")


def save_adapted(folder, model, dtype=torch.float64, **settings):
    """Save a model and a random adapter on it; return base, adapter and PEFT's merged model."""
    torch.manual_seed(5)
    model = model.to(dtype)
    base, adapter = folder / "base", folder / "lora"
    model.save_pretrained(base)
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings), autocast_adapter_dtype=False)
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad or "lora_" in name:
            with torch.no_grad():
                scale = 1.0 if "magnitude" in name else 0.3
                parameter.copy_((parameter + scale * torch.randn_like(parameter)).to(parameter.dtype))
    adapted.save_pretrained(adapter)
    return base, adapter, adapted.merge_and_unload()


def saved_tensors(model, folder):
    """The tensors of a model under the names of its files, which may differ from those in memory."""
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def parity(base, adapter, merged, tolerance=1e-12):
    """Every tensor of ``base`` with ``adapter`` is that of ``merged``; those that differ are known as changed."""
    checkpoint = Checkpoint.open(f"{base}+{adapter}")
    plain = Checkpoint.open(base)
    assert set(checkpoint) == set(plain) and checkpoint.infos == plain.infos
    changed = 0
    for name in checkpoint:
        value, wanted = checkpoint.read(name), merged[name].double()
        assert torch.allclose(value.double(), wanted, rtol=tolerance, atol=tolerance), name
        same = torch.equal(plain.read(name).double(), wanted)
        assert same == (name not in checkpoint._source.changed), name
        changed += not same
        flat = value.reshape(-1)
        for start, stop in ((0, 1), (flat.numel() // 3, flat.numel() // 2 + 1), (flat.numel(), flat.numel())):
            assert torch.equal(checkpoint.read_range(name, start, stop), flat[start:stop])
    assert changed == len(checkpoint._source.changed) > 0
    return checkpoint


def refused(base, adapter):
    """The one line that says why an adapter cannot be merged."""
    from syn2real.errors import UserError

    with pytest.raises(UserError) as caught:
        Checkpoint.open(base, adapter=adapter)
    assert "\n" not in str(caught.value)
    return str(caught.value)
