"""Learning rates by layer: the lower a layer lies, the slower it learns.

A layer that lies d layers below the top of its stack learns at η · decay^d (ELECTRA, Clark et al., 2020, appendix A;
BEiT, Bao et al., 2022, appendix). Low layers hold what is common to all speech; a few hundred clips need not undo it.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

from syn2real.merge.groups import GROUPS, layer_of


def depths(names: Iterable[str]) -> dict[str, int]:
    """How far each weight lies from the top of its stack of layers, from names in the order that the model holds them.

    1 for the top layer and so on down, one more than there are layers for what stands before them (embeddings and
    convolutions), 0 for what comes after (norms and heads). An encoder and a decoder are counted each from its own top.

    >>> depths(["encoder.conv1.weight", "encoder.layers.0.fc1.weight", "encoder.layers.1.fc1.weight", "head.weight"])
    {'encoder.conv1.weight': 3, 'encoder.layers.0.fc1.weight': 2, 'encoder.layers.1.fc1.weight': 1, 'head.weight': 0}
    """
    names = list(names)
    layers = {name: layer_of(name) for name in names}
    stacks: dict[str, int] = {}  # layers of each
    for layer in layers.values():
        if layer and not GROUPS["conv"].search(layer[0]):
            stacks[layer[0]] = max(stacks.get(layer[0], 0), layer[1] + 1)
    begun: set[str] = set()
    found = {}
    for name in names:
        layer = layers[name]
        if layer and layer[0] in stacks:
            begun.add(layer[0])
            found[name] = stacks[layer[0]] - layer[1]
            continue
        around = [stack for stack in stacks if name.startswith(_parent(stack))] or list(stacks)
        found[name] = 0 if begun & set(around) else 1 + max((stacks[stack] for stack in around), default=-1)
    return found


def rate_groups(model: nn.Module, rate: float, decay: float, weight_decay: float, decayed: set[str]) -> list[Any]:
    """Parameter groups of an optimiser, the fastest first. The weights named in ``decayed`` decay."""
    depth = depths(name for name, _ in model.named_parameters())
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            groups.setdefault((depth[name], name not in decayed), []).append(weight)
    return [
        {"params": weights, "lr": rate * decay**below, "weight_decay": 0.0 if spared else weight_decay}
        for (below, spared), weights in sorted(groups.items(), key=lambda item: item[0])
    ]


def _parent(stack: str) -> str:
    """``model.encoder.`` of ``model.encoder.layers.``"""
    return stack[: stack[:-1].rfind(".") + 1]
