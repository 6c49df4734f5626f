"""Small real architectures of transformers with random weights, written to disk."""

from pathlib import Path
from typing import Any

import pytest
import torch


def save(folder: Path, config: Any, seed: int, near: int | None = None, dtype: torch.dtype = torch.float32) -> Path:
    """Write the model of ``config``: random by ``seed``, or a little off the one of seed ``near``."""
    transformers = pytest.importorskip("transformers")
    if getattr(config, "is_encoder_decoder", False):
        kind = transformers.AutoModelForSeq2SeqLM
    else:
        kind = transformers.AutoModelForCausalLM
    torch.manual_seed(near if near is not None else seed)
    model = kind.from_config(config)
    if near is not None:
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.01)
    model.to(dtype).save_pretrained(folder)
    return folder


def llama(**changes: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    values = {
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 16,
        "max_position_embeddings": 32,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return transformers.LlamaConfig(**{**values, **changes})


def load(directory: Path, **kwargs: Any) -> Any:
    """Load a causal model with transformers, which must find every weight and no other."""
    transformers = pytest.importorskip("transformers")
    kind = kwargs.pop("kind", transformers.AutoModelForCausalLM)
    model, found = kind.from_pretrained(directory, output_loading_info=True, **kwargs)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not found[key], (key, found[key])
    return model
