"""torch.compile for what is trained: layer by layer, so that all layers of a stack share one compiled form."""

from collections.abc import Callable

from torch import nn

from syn2real.merge.groups import GROUPS, layer_of


def compile_layers(model: nn.Module, backend: str | Callable = "inductor") -> None:
    """Have every layer of encoder and decoder compiled when it is first called, for inputs of any length.

    The model as a whole is not: what changes with the window of a batch lies outside of the layers, and would have it
    compiled anew each time. Names of weights stay.
    """
    for name, module in model.named_modules():
        found = layer_of(f"{name}.")
        if found and name == f"{found[0]}{found[1]}" and not GROUPS["conv"].search(name):
            module.compile(dynamic=True, backend=backend)
