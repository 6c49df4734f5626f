"""Taking one model's tensor as it is: for stacking layers."""

from collections.abc import Iterator

from torch import Tensor

from syn2real.merge.method import method
from syn2real.merge.stack import Stack


@method("passthrough", models=(1, 1))
def passthrough(stack: Stack, *, scale: float = 1.0) -> Iterator[Tensor]:
    """The model's tensor, times ``scale``: with ``slices`` in the recipe, layers of one or several models stacked."""
    return stack.map(lambda block: block.models[0].mul_(scale) if scale != 1 else block.models[0])
