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
    inside = _members(model, groups, "freeze")
    for weight in inside:
        weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise UserError(f"freeze: nothing is left to train without {', '.join(groups)}; freeze less")


def train_only(model: nn.Module, groups: Sequence[str]) -> None:
    """Stop the training of every weight outside of these groups: with ``norm`` nothing but norms is trained.

    Raises `UserError` for an unknown group, one that the model has no weights of, and when nothing would be left.
    """
    inside = {id(weight) for weight in _members(model, groups, "train_only")}
    for weight in model.parameters():
        if id(weight) not in inside:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise UserError(f"train_only: all of {', '.join(groups)} is frozen; name another group, or freeze less")


def _members(model: nn.Module, groups: Sequence[str], option: str) -> list[nn.Parameter]:
    """The weights in any of the groups."""
    known = [*GROUPS, "other"]
    for group in groups:
        if group not in known:
            raise UserError(f"{option}: no group {group!r}{did_you_mean(group, known)}")
    met: set[str] = set()
    members = []
    for name, weight in model.named_parameters():
        found = set(groups_of(name)) & set(groups)
        if found:
            members.append(weight)
            met |= found
    absent = [group for group in groups if group not in met]
    if absent:
        raise UserError(f"{option}: the model has no weights in group {absent[0]!r}; leave it out")
    return members


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
