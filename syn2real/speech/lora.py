"""Which linear layers of a recogniser low-rank adapters are put into (`syn2real.lora` puts them there).

The fine-tuned model is written with its adapters merged in, so that task vectors find the names they know; the adapters
themselves lie beside it, small enough to be sent.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from syn2real.errors import UserError
from syn2real.lora import named_layers
from syn2real.merge.groups import groups_of


def adapted_layers(model: Any, wanted: Sequence[str] | None) -> list[str]:
    """Names of the linear layers to adapt: of those that are trained all of attention and MLP, or those whose names end
    in one of ``wanted``. Raises `UserError` when there is none."""
    linear = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module.weight.requires_grad
    ]
    if model.config.model_type == "wavlm":  # reads the weights of its attention's layers and never calls them
        linear = [name for name in linear if "attention" not in groups_of(f"{name}.weight")]
    if wanted is not None:
        return named_layers(linear, wanted)
    found = [name for name in linear if {"attention", "mlp"} & set(groups_of(f"{name}.weight"))]
    if not found:
        raise UserError("lora: no linear layer of attention or MLP is left to train; freeze less")
    return found
