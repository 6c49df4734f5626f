"""The network that is tuned: loaded with its tokenizer, given adapters, and written as a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from syn2real.errors import UserError, one_line
from syn2real.language.tuning.settings import TuningSettings
from syn2real.lora import ADAPTER, add_adapters, named_layers, save_adapters
from syn2real.merge.sidecars import copy_sidecars
from syn2real.saving import saving


def load_tokenizer(model: Path) -> Any:
    """The tokenizer of a chat model, with a mark of padding. Raises `UserError` for one without a chat template."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except Exception as error:  # of transformers, of the tokenizer's reader
        raise UserError(f"{model}: its tokenizer cannot be loaded ({one_line(error)})") from error
    if not tokenizer.chat_template:
        raise UserError(f"{model}: has no chat template; choose an instruction-tuned model")
    if not tokenizer.is_fast:
        raise UserError(f"{model}: its tokenizer cannot say where words begin; it needs a tokenizer.json")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_network(model: Path, settings: TuningSettings) -> Any:
    """The model in float32, with adapters or with dropout as the settings say."""
    try:
        config = AutoConfig.from_pretrained(model)
        if settings.dropout and settings.lora is None:
            _drop_out(config, settings.dropout, model)
        network: Any = AutoModelForCausalLM.from_pretrained(model, config=config, dtype=torch.float32)
    except UserError:
        raise
    except Exception as error:  # of transformers, of the weights' reader
        raise UserError(f"{model}: cannot be loaded as a chat model ({one_line(error)})") from error
    if settings.lora is not None:
        network = add_adapters(network, settings.lora, _layers(network, settings.lora.targets), settings.seed)
    return network


def _drop_out(config: Any, share: float, model: Path) -> None:
    """Set every dropout that the architecture's configuration knows."""
    names = [name for name in vars(config) if name.endswith(("dropout", "pdrop")) and name != "classifier_dropout"]
    if not names:
        raise UserError(f"{model}: its architecture knows no dropout; train adapters, which have their own")
    for name in names:
        setattr(config, name, share)


def _layers(network: Any, wanted: Sequence[str] | None) -> list[str]:
    """Names of the linear layers to adapt: all but the one that makes words, or those whose names end so."""
    head = network.get_output_embeddings()
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear) and part is not head]
    return linear if wanted is None else named_layers(linear, wanted)


def space_for(network: nn.Module) -> int:
    """Bytes that a tuning needs: up to three checkpoints of weights and two moments, and the model, in float32."""
    weights = list(network.parameters())
    return 4 * sum(weight.numel() * (10 if weight.requires_grad else 1) for weight in weights)


def save_network(network: Any, base: Path, output: Path, dtype: torch.dtype) -> None:
    """Write a tuned network as a Hugging Face directory of ``dtype``; adapters merged in, and beside it in `ADAPTER`.

    The rest is the base's: its tokenizer to the byte, and a configuration without what training set in it. Raises
    `UserError` for a full disk.
    """
    from peft import PeftModel

    with saving(output):
        if isinstance(network, PeftModel):
            save_adapters(network, output / ADAPTER)
            network = network.merge_and_unload()
        network.to(dtype).save_pretrained(output)
        copy_sidecars(base, output, dtype)
