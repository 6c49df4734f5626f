"""PPO (Schulman et al., 2017) in the frame of TRL's GRPO trainer, which has all but a value head: advantages by token,
from rewards that pay at the end and cost what each token leaves the reference by.

TRL 1.16 has no trainer of its own for it. Its GRPO takes advantages by token, clips the ratio, and keeps the reference.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

VALUES = "value_head.safetensors"  # in a checkpoint
GAMMA, LAMBDA = 1.0, 0.95  # of generalised advantages (Schulman et al., 2016)


def add_value_head(network: nn.Module) -> nn.Linear:
    """Give a causal language model a head that says what a sentence begun so will be paid; at first nothing."""
    config = network.config.get_text_config()  # type: ignore[operator,union-attr]
    head = nn.Linear(int(config.hidden_size), 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    network.value_head = head
    return head


def token_rewards(rewards: Tensor, likelihoods: Tensor, reference: Tensor, mask: Tensor, kl: float) -> Tensor:
    """By token, shape (batch, tokens): −κ(log π − log π_ref), and at the last token of each row its reward as well."""
    found = -kl * (likelihoods - reference) * mask
    last = (mask.sum(1).long() - 1).clamp(min=0)
    found[torch.arange(len(rewards)), last] += rewards
    return found


def advantages(rewards: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Generalised advantages and returns of rewards by token, shape (batch, tokens) each; 0 where the mask is."""
    found = torch.zeros_like(rewards)
    after = torch.zeros(len(rewards), device=rewards.device)
    next_value = torch.zeros(len(rewards), device=rewards.device)
    for place in reversed(range(rewards.shape[1])):
        on = mask[:, place]
        delta = rewards[:, place] + GAMMA * next_value - values[:, place]
        after = on * (delta + GAMMA * LAMBDA * after)
        next_value = on * values[:, place]
        found[:, place] = after
    return found, (found + values) * mask


def whitened(values: Tensor, mask: Tensor) -> Tensor:
    """With mean 0 and variance 1 over what the mask has; 0 elsewhere."""
    count = mask.sum().clamp(min=1)
    mean = (values * mask).sum() / count
    spread = (((values - mean) * mask) ** 2).sum() / count
    return (values - mean) * torch.rsqrt(spread + 1e-8) * mask


class KeepValues(TrainerCallback):
    """Puts the value head into each checkpoint: adapters alone would be saved without it."""

    def __init__(self, head: nn.Linear) -> None:
        self._head = head

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save it."""
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self._head.state_dict().items()}
        save_file(weights, Path(args.output_dir) / f"checkpoint-{state.global_step}" / VALUES)

    def take_up(self, checkpoint: Path | None) -> None:
        """Load it from a checkpoint, if there is one."""
        if checkpoint is not None:
            self._head.load_state_dict(load_file(checkpoint / VALUES))


class Proximal:
    """PPO's advantages and value loss, put before TRL's GRPO trainer. ``last_paid`` are the rewards of the sentences
    that were written last."""

    last_paid: Sequence[float]
    value_weight: float

    def watch(self, network: Any, head: nn.Linear) -> None:
        """See the hidden states that the value head reads."""
        self._head = head
        network.base_model.register_forward_hook(self._seen)

    def _seen(self, _: Any, __: Any, output: Any) -> None:
        self._states = output.last_hidden_state

    def _values(self, tokens: int) -> Tensor:
        """Of the states before each of the last ``tokens``: float32, shape (batch, tokens)."""
        states = self._states[:, -tokens - 1 : -1].float()
        return nn.functional.linear(states, self._head.weight.float(), self._head.bias.float()).squeeze(-1)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        mask = output["completion_mask"].float()
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        attention = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        tokens = mask.shape[1]
        with torch.no_grad():
            old, _, _ = self._get_per_token_logps_and_entropies(self.model, ids, attention, tokens)  # type: ignore[attr-defined]
            values = self._values(tokens) * mask
        paid = torch.tensor(list(self.last_paid), device=mask.device)
        reference = output.get("ref_per_token_logps", old)
        rewards = token_rewards(paid, old, reference, mask, self.beta)  # type: ignore[attr-defined]
        found, returns = advantages(rewards, values, mask)
        return output | {"old_per_token_logps": old, "advantages": whitened(found, mask), "returns": returns}

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        # What the reference costs is in the rewards, and not once more in the loss.
        kl, self.beta = self.beta, 0.0  # type: ignore[has-type]
        try:
            loss = super()._compute_loss(model, inputs)  # type: ignore[misc]
        finally:
            self.beta = kl
        mask = inputs["completion_mask"].float()
        wrong = (self._values(mask.shape[1]) - inputs["returns"]) ** 2 * mask
        return loss + self.value_weight * wrong.sum() / mask.sum().clamp(min=1)
