"""The lighter head is TRL's: the same losses and gradients."""

import pytest

pytest.importorskip("trl")

import torch
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from syn2real.language.tuning.head import lighten_head
from syn2real.language.tuning.rendering import IGNORED


@pytest.fixture
def batch():
    ids = torch.randint(5, 40_000, (3, 9), generator=torch.Generator().manual_seed(1))
    labels = torch.where(torch.arange(9) > torch.tensor([[3], [6], [9]]), ids, IGNORED)  # of the last row nothing
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def test_it_agrees_with_the_head_it_replaces(chat_llama, batch):
    found = []
    for lighter in (False, True):
        model = AutoModelForCausalLM.from_pretrained(chat_llama, dtype=torch.float32)
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
        if lighter:
            lighten_head(model)
        output = model(**batch, fused_lm_head=True, num_items_in_batch=7)
        output.loss.backward()
        found.append((output, {name: weight.grad for name, weight in model.named_parameters()}))
    (theirs, their_gradients), (ours, our_gradients) = found
    assert torch.allclose(ours.log_probs, theirs.log_probs, atol=1e-5)
    assert torch.equal(ours.label_mask, theirs.label_mask) and torch.equal(ours.is_top1 > 0, theirs.is_top1 > 0)
    assert torch.allclose(ours.loss, theirs.loss, atol=1e-5)
    for name, gradient in their_gradients.items():
        assert torch.allclose(our_gradients[name], gradient, atol=1e-6), name
    assert not our_gradients["model.layers.0.mlp.up_proj.weight"].isnan().any()


def test_logits_are_there_for_who_asks(chat_llama, batch):
    model = AutoModelForCausalLM.from_pretrained(chat_llama, dtype=torch.float32)
    before = model(**batch)
    add_fused_lm_head(model)
    lighten_head(model)
    after = model(**batch)
    assert torch.equal(before.logits, after.logits) and torch.equal(before.loss, after.loss)


def test_models_that_change_their_logits_keep_theirs(chat_llama):
    model = AutoModelForCausalLM.from_pretrained(chat_llama, dtype=torch.float32)
    model.config.final_logit_softcapping = 30.0
    add_fused_lm_head(model)
    given = model.forward
    lighten_head(model)
    assert model.forward == given
