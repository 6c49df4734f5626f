"""Taking one model's tensor as it is: for stacking layers."""

from collections.abc import Iterator

from torch import Tensor

from syn2real.merge.method import PerModel, method
from syn2real.merge.stack import Stack
from syn2real.merge.weighting import scaled


@method("passthrough", models=(1, 1))
def passthrough(stack: Stack, *, scale: PerModel = (1.0,)) -> Iterator[Tensor]:
    """The model's tensor, times ``scale``: with ``slices`` in the recipe, layers of one or several models stacked."""
    return stack.map(lambda block: scaled(block.models[0], scale[0]))
