"""The settings of fine-tuning, with the defaults that recipes and commands share. Light: nothing of torch is needed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from syn2real.errors import UserError, did_you_mean
from syn2real.lora import LoraSettings

Precision = Literal["auto", "fp32", "bf16", "fp16"]
LONGEST = 30  # s, of a clip; a budget that is smaller would not hold it


@dataclass(frozen=True)
class TrainingSettings:
    """How to fine-tune. The defaults suit a few hundred clips and Whisper tiny or base.

    Those after ``seed`` are options: at its default each is as if there were none. ``lora``, ``freeze`` and
    ``train_only`` may be given as JSON or YAML holds them, a mapping and lists.
    """

    epochs: float = 3
    learning_rate: float = 2e-5
    batch_size: int = 16
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.1
    full_windows: float = 0.06  # share of the clips padded to 30 s, so that the model keeps working there
    patience: int = 3  # evaluations without a better dev loss before stopping; used with a dev corpus only
    precision: Precision = "auto"  # of the matrix products; weights and optimiser stay float32
    checkpoint_steps: int = 50
    seed: int = 0
    lora: LoraSettings | None = None
    freeze: tuple[str, ...] | None = None  # groups of weights (see `merge.groups`) that stay as they are
    gradient_checkpointing: bool = False  # activations computed twice instead of kept: less memory, more time
    spec_augment: bool = False  # mask stretches of time and frequency; False: as the model's own configuration says
    batch_seconds: float | None = None  # in place of batch_size: seconds of a batch, padding included
    accumulation: int = 1  # batches of a step
    train_only: tuple[str, ...] | None = None  # groups of weights outside of which nothing is trained
    layer_decay: float = 1.0  # learning rate of a layer, over that of the one above it
    compile: bool = False  # the layers, through torch.compile

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.learning_rate <= 0 or self.batch_size < 1 or self.checkpoint_steps < 1:
            raise UserError("epochs, learning rate, batch size and checkpoint steps must be above 0")
        if not 0 <= self.full_windows <= 1:
            raise UserError(f"full_windows is a share between 0 and 1, not {self.full_windows:g}")
        if not 0 <= self.warmup < 1:
            raise UserError(f"warmup is a share of the steps from 0 to below 1, not {self.warmup:g}")
        if self.weight_decay < 0 or self.patience < 1 or self.accumulation < 1:
            raise UserError("weight decay must be 0 or more, patience and accumulation 1 or more")
        if self.precision not in get_args(Precision):
            raise UserError(f"precision {self.precision!r}: unknown{did_you_mean(self.precision, get_args(Precision))}")
        if self.batch_seconds is not None and not self.batch_seconds >= LONGEST:
            raise UserError(f"batch_seconds must be {LONGEST} or more, as long as a clip, not {self.batch_seconds:g}")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"layer_decay is above 0 and at most 1, not {self.layer_decay:g}")
        if isinstance(self.lora, Mapping):
            object.__setattr__(self, "lora", LoraSettings(**self.lora))
        for groups in ("freeze", "train_only"):
            if getattr(self, groups) is not None:
                object.__setattr__(self, groups, tuple(getattr(self, groups)))

    def record(self) -> dict[str, Any]:
        """The settings as JSON: what keys a stage and stands in ``training.json``. Options that are not in use are left
        out, so that what was made before there were such options is still found."""
        names = [field.name for field in fields(self)]
        unused = {
            field.name
            for field in fields(self)[names.index("seed") + 1 :]
            if getattr(self, field.name) in (field.default, ())
        }
        return {name: value for name, value in asdict(self).items() if name not in unused}


DEFAULTS = TrainingSettings()
