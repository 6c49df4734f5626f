"""The settings of fine-tuning, with the defaults that recipes and commands share. Light: nothing of torch is needed."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from syn2real.errors import UserError

OPTIONS = ("spec_augment",)  # fields that mean nothing while they are None or False

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainingSettings:
    """How to fine-tune. The defaults suit a few hundred clips and Whisper tiny or base."""

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
    spec_augment: bool = False  # mask stretches of time and frequency; unset: as the model's own configuration says

    def __post_init__(self) -> None:
        if self.epochs <= 0 or self.learning_rate <= 0 or self.batch_size < 1 or self.checkpoint_steps < 1:
            raise UserError("epochs, learning rate, batch size and checkpoint steps must be above 0")
        if not 0 <= self.full_windows <= 1:
            raise UserError(f"full_windows is a share between 0 and 1, not {self.full_windows:g}")

    def record(self) -> dict[str, Any]:
        """The settings as JSON: what keys a stage and stands in ``training.json``. Options that are not in use are left
        out, so that what was made before there were such options is still found."""
        return {name: value for name, value in asdict(self).items() if name not in OPTIONS or value}


DEFAULTS = TrainingSettings()
