"""Which weights a fine-tuning leaves as they are: groups by name, and the statistics of norms that are not trained."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from syn2real.errors import UserError, did_you_mean
from syn2real.merge.groups import GROUPS, groups_of


def freeze(model: nn.Module, groups: Sequence[str]) -> None:
    """Stop the training of every weight in one of these groups (`merge.groups`), such as ``encoder``.

    Raises `UserError` for an unknown group, one that the model has no weights of, and when nothing would be left.
    """
    known = [*GROUPS, "other"]
    for group in groups:
        if group not in known:
            raise UserError(f"freeze: no group {group!r}{did_you_mean(group, known)}")
    left = list(groups)
    for name, weight in model.named_parameters():
        found = [group for group in groups_of(name) if group in groups]
        if found:
            weight.requires_grad_(False)
            left = [group for group in left if group not in found]
    if left:
        raise UserError(f"freeze: the model has no weights in group {left[0]!r}; leave it out")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise UserError(f"freeze: nothing is left to train without {', '.join(groups)}; freeze less")


def hold_statistics(model: nn.Module) -> None:
    """Keep the running statistics of batch norms whose weights are not trained, for these change without a gradient."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
            w.requires_grad for w in module.parameters()
        ):
            module.register_forward_pre_hook(_hold)


def _hold(module: nn.Module, _: Any) -> None:
    """Trainers put the whole model to training before every step; this comes after."""
    module.eval()
