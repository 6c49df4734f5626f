"""Low-rank adaptation (Hu et al., 2021) through PEFT: adapters trained in place of the model's linear layers.

The fine-tuned model is written with its adapters merged in, so that task vectors find the names they know; the adapters
themselves lie beside it, small enough to be sent.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from syn2real.errors import UserError, did_you_mean
from syn2real.merge.adapter_config import CONFIG
from syn2real.merge.groups import groups_of
from syn2real.sealing import write_text
from syn2real.speech.training import LoraSettings

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER = "adapter"  # directory beside the merged weights


def add_adapters(model: Any, settings: LoraSettings, seed: int) -> "PeftModel":
    """``model`` with adapters in its trainable linear layers, all else frozen. The model itself is changed.

    Raises `UserError` when no layer is named so.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=_targets(model, settings.targets),
        use_rslora=settings.stabilised,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a name that PEFT still reads and transformers has renamed
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def save_adapters(model: "PeftModel", directory: Path) -> None:
    """Write the adapters as PEFT does, less what differs from run to run: its card, the place of the base model on this
    machine, and the order of sets."""
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(str(directory), save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    content = json.loads((directory / CONFIG).read_text(encoding="utf-8")) | {"base_model_name_or_path": None}
    ordered = {name: sorted(value) if isinstance(value, list) else value for name, value in content.items()}
    write_text(directory / CONFIG, json.dumps(ordered, indent=2, sort_keys=True) + "\n")


def _targets(model: Any, wanted: tuple[str, ...] | None) -> list[str]:
    """Names of the linear layers to adapt: those whose names end in one of ``wanted``, by default all of attention and
    MLP."""
    linear = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module.weight.requires_grad
    ]
    if model.config.model_type == "wavlm":  # reads the weights of its attention's layers and never calls them
        linear = [name for name in linear if "attention" not in groups_of(f"{name}.weight")]
    if wanted is None:
        found = [name for name in linear if {"attention", "mlp"} & set(groups_of(f"{name}.weight"))]
        if not found:
            raise UserError("lora: no linear layer of attention or MLP is left to train; freeze less")
        return found
    for ending in wanted:
        if not any(f".{name}".endswith(f".{ending}") for name in linear):
            endings = {name.rsplit(".", 1)[-1] for name in linear}
            raise UserError(f"lora: no trainable linear layer is called {ending!r}{did_you_mean(ending, endings)}")
    return [name for name in linear if any(f".{name}".endswith(f".{ending}") for ending in wanted)]
