"""Small models with random weights, of the true classes: where it is the code that is tested and not what is heard."""

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def small_whisper(tiny_en, tmp_path_factory) -> Path:
    """An English-only Whisper of two narrow layers, with random weights and the true tokenizer."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    directory = tmp_path_factory.mktemp("small-whisper")
    config = WhisperConfig.from_pretrained(tiny_en)
    narrow = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    config.update(narrow | dict.fromkeys(("encoder_layers", "decoder_layers", "num_hidden_layers"), 2))
    config.update(dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(tiny_en)
    model.generation_config.alignment_heads = None  # of layers that it does not have
    model.save_pretrained(directory)
    WhisperTokenizer.from_pretrained(tiny_en).save_pretrained(directory)
    WhisperFeatureExtractor.from_pretrained(tiny_en).save_pretrained(directory)
    return directory
