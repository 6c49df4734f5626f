"""Low-rank adapters (Hu et al., 2021) through PEFT: how they are set, put into a model's linear layers, and kept."""

import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syn2real.errors import UserError, did_you_mean
from syn2real.sealing import write_text

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER = "adapter"  # directory beside the merged weights


@dataclass(frozen=True)
class LoraSettings:
    """Adapters of low rank, trained in place of the weights themselves."""

    rank: int = 8
    alpha: float = 16  # the adapters' sum is scaled by alpha / rank
    dropout: float = 0.0  # of what an adapter hears, in training
    targets: tuple[str, ...] | None = None  # endings of linear layers' names; None: all of attention and MLP
    stabilised: bool = False  # scaled by alpha / √rank (Kalajdzievski, 2023), so that high ranks learn as fast

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise UserError("lora: rank and alpha must be above 0, dropout from 0 to below 1")
        if self.targets is not None:
            object.__setattr__(self, "targets", tuple(self.targets))


def named_layers(layers: Sequence[str], endings: Sequence[str]) -> list[str]:
    """Those of the linear layers that may be adapted whose names end in one of ``endings``. Raises `UserError` for an
    ending that none has."""
    for ending in endings:
        if not any(f".{name}".endswith(f".{ending}") for name in layers):
            known = {name.rsplit(".", 1)[-1] for name in layers}
            raise UserError(f"lora: no linear layer is called {ending!r}{did_you_mean(ending, known)}")
    return [name for name in layers if any(f".{name}".endswith(f".{ending}") for ending in endings)]


def add_adapters(model: Any, settings: LoraSettings, layers: Sequence[str], seed: int) -> "PeftModel":
    """``model`` with adapters in the linear layers of these names, all else frozen. The model itself is changed."""
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=list(layers),
        use_rslora=settings.stabilised,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a name that PEFT still reads and transformers has renamed
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def save_adapters(model: "PeftModel", directory: Path) -> None:
    """Write the adapters in use as PEFT does, less what differs from run to run: its card, the place of the base model
    on this machine, and the order of sets. Others, as TRL keeps for comparison, are left out."""
    from syn2real.merge.adapter_config import CONFIG

    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(str(directory), selected_adapters=model.active_adapters, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    config = directory / CONFIG
    content = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": None}
    ordered = {name: sorted(value) if isinstance(value, list) else value for name, value in content.items()}
    write_text(config, json.dumps(ordered, indent=2, sort_keys=True) + "\n")
