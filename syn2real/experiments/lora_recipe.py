"""Low-rank adapters in a recipe, of a recogniser's training or of a chat model's tuning."""

from typing import Annotated

from pydantic import Field

from syn2real.documents import Strict
from syn2real.lora import LoraSettings

LORA = LoraSettings()


class LoraRecipe(Strict):
    """Low-rank adapters in place of the weights; see `syn2real.lora.LoraSettings`."""

    rank: Annotated[int, Field(ge=1)] = LORA.rank
    alpha: Annotated[float, Field(gt=0)] = LORA.alpha
    dropout: Annotated[float, Field(ge=0, lt=1)] = LORA.dropout
    targets: tuple[str, ...] | None = None
    stabilised: bool = LORA.stabilised
