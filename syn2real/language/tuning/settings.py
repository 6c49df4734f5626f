"""The settings of tuning, with the defaults that recipes and commands share. Light: nothing of torch is needed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from syn2real.errors import UserError, did_you_mean
from syn2real.lora import LoraSettings

Method = Literal["sft", "dpo", "orpo"]
Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Width = Literal["float32", "float16", "bfloat16"]

PREFERENCE = ("dpo", "orpo")  # methods that learn from pairs of a better and a worse reply
# Peak learning rates, for all weights and for adapters.
_RATES = {"sft": (2e-5, 1e-4), "dpo": (2e-6, 2e-5), "orpo": (5e-6, 5e-5)}
_CHOICES = {"method": Method, "schedule": Schedule, "precision": Precision, "dtype": Width}


@dataclass(frozen=True)
class TuningSettings:
    """How to tune a chat model: by examples (``sft``), or by preferences (``dpo``, Rafailov et al., 2023, and ``orpo``,
    Hong et al., 2024).

    Those after ``seed`` are options: at its default each is as if there were none. ``lora`` may be given as JSON or
    YAML holds it, a mapping. Raises `UserError` for a value that is out of bounds.
    """

    method: Method = "sft"
    lora: LoraSettings | None = None  # None: all weights are trained
    epochs: float = 3
    learning_rate: float | None = None  # at its peak; None: by method, and five to ten times as high for adapters
    batch_size: int = 8  # examples computed at once
    accumulation: int = 1  # batches of a step
    schedule: Schedule = "cosine"  # of the learning rate after its warm-up, down to 0
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.0  # of AdamW
    dropout: float = 0.0  # of the attention's weights, and of hidden states where the architecture knows it; with
    # adapters, of what these hear and nothing else
    cut_off: int = 1024  # tokens of an example; later ones are cut off
    precision: Precision = "auto"  # of the matrix products; weights and optimiser stay float32
    dtype: Width = "float32"  # of the saved weights
    checkpoint_steps: int = 50
    seed: int = 42
    beta: float = 0.1  # dpo: how dear it is to leave the model one started from; orpo: weight of the odds ratio
    packing: bool = False  # examples laid end to end in rows of ``cut_off`` tokens, none attending to another
    gradient_checkpointing: bool = False  # activations computed twice instead of kept: less memory, more time
    patience: int = 3  # evaluations without a better dev loss before stopping; used with dev examples only

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            given = getattr(self, name)
            if given not in get_args(known):
                raise UserError(f"{name} {given!r}: unknown{did_you_mean(str(given), get_args(known))}")
        self._take_up_adapters()
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _RATES[self.method][self.lora is not None])
        positive = ("epochs", "learning_rate", "batch_size", "accumulation", "checkpoint_steps", "patience", "beta")
        for name in positive:
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be above 0, not {getattr(self, name):g}")
        if not 0 <= self.warmup < 1:
            raise UserError(f"warmup is a share of the steps from 0 to below 1, not {self.warmup:g}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is a share from 0 to below 1, not {self.dropout:g}")
        if self.weight_decay < 0:
            raise UserError(f"weight_decay must be 0 or more, not {self.weight_decay:g}")
        if self.cut_off < 8:
            raise UserError(f"cut_off must be 8 tokens or more, not {self.cut_off}")
        if self.packing and self.method in PREFERENCE:
            raise UserError(f"packing is for sft; {self.method} compares pairs of replies row by row")

    def _take_up_adapters(self) -> None:
        """One figure for dropout, whichever of the two it was given by."""
        lora = LoraSettings(**self.lora) if isinstance(self.lora, Mapping) else self.lora
        if lora is not None:
            if self.dropout and lora.dropout not in (0, self.dropout):
                raise UserError(f"dropout is {self.dropout:g} and that of the adapters {lora.dropout:g}; give one")
            object.__setattr__(self, "dropout", self.dropout or lora.dropout)
            lora = replace(lora, dropout=self.dropout)
        object.__setattr__(self, "lora", lora)

    def record(self) -> dict[str, Any]:
        """The settings as JSON: what keys a stage and stands in ``training.json``. Options that are not in use are left
        out, so that a further one does not change what was made before."""
        values = asdict(self)
        named = [field.name for field in fields(self)]
        options = {field.name: field.default for field in fields(self)[named.index("seed") + 1 :]}
        if self.method in PREFERENCE:
            del options["beta"]
        else:
            options["beta"] = self.beta  # means nothing here
        return {name: value for name, value in values.items() if name not in options or value != options[name]}


DEFAULTS = TuningSettings()
