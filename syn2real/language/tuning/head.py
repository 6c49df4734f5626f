"""The words' likelihoods on a CPU: computed for the tokens that are learnt, and no others."""

from types import MethodType
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from syn2real.language.tuning.rendering import IGNORED

# Of an architecture's configuration: what is done to its logits before the softmax, which is left to TRL.
CHANGED_LOGITS = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
    "output_router_logits",
)


def lighten_head(model: Any) -> None:
    """Let ``model``, which TRL has given a head that returns log-probabilities in place of logits, compute them at
    labelled positions alone.

    TRL's own does so on GPUs; on a CPU it computes every position, in tiles, twice, with an entropy that nothing here
    reads: more than half of a step of a small model with a large vocabulary. The loss is the same. Models that change
    their logits before the softmax keep TRL's.
    """
    config = model.config.get_text_config()
    if any(getattr(config, name, None) for name in CHANGED_LOGITS):
        return
    given = model.forward

    def forward(self: Any, *args: Any, fused_lm_head: bool = False, **kwargs: Any) -> Any:
        if not fused_lm_head or "labels" not in kwargs:
            return given(*args, fused_lm_head=fused_lm_head, **kwargs)
        return _likelihoods(self, *args, **kwargs)

    forward.__wrapped__ = type(model).forward  # type: ignore[attr-defined]  # whose parameters `generate` asks for
    model.forward = MethodType(forward, model)


def _likelihoods(model: Any, *args: Any, labels: torch.Tensor, num_items_in_batch: Any = None, **kwargs: Any) -> Any:
    """What TRL's head returns: for each token but the first its log-probability, 0 where its label is ignored; float32
    of shape (batch, tokens - 1). Entropies and means of logits are 0."""
    from trl.trainer.utils import FusedCausalLMOutput

    states = model.base_model(*args, **kwargs | {"use_cache": False}).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    mask = wanted != IGNORED
    logits = model.get_output_embeddings()(states[mask]).float()
    found = -cross_entropy(logits, wanted[mask], reduction="none")
    likelihoods = found.new_zeros(mask.shape).masked_scatter(mask, found)
    right = torch.zeros_like(mask).masked_scatter(mask, logits.detach().argmax(-1) == wanted[mask])
    nothing = torch.zeros_like(likelihoods)
    return FusedCausalLMOutput(
        loss=-likelihoods.sum() / (mask.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch),
        log_probs=likelihoods,
        entropy=nothing,
        mean_logits=nothing,
        is_top1=right,
        label_mask=mask,
    )
