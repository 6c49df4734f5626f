"""Tied embeddings: one model's file stores the output head, another's leaves it out because it is the embedding.

Only names decide what is a head and what an embedding, and only files what is stored. A result stores what its anchor
does, so that tied stay tied.
"""

import re

import torch

from syn2real.errors import CheckpointMismatch
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.tensors import ranges
from syn2real.merge.views import View, alias

EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|shared|embed_in|word_embeddings|token_embd|tok_embeddings)\.weight$")
HEAD = re.compile(r"(^|\.)(lm_head|proj_out|embed_out|output)\.weight$")
_SLICE = 1 << 20  # elements compared at a time


def matched(anchor: Checkpoint, other: Checkpoint) -> Checkpoint:
    """``other`` with the heads and embeddings that ``anchor`` stores, where tying explains the difference.

    A head that ``anchor`` does not store is left out: it must be ``other``'s embedding, bit by bit, which reads both.
    One that only ``anchor`` stores is ``other``'s embedding, unless its configuration says that they are not tied. What
    tying does not explain stays as it is, for the comparison of names to refuse. Raises `CheckpointMismatch`.
    """
    dropped, changed = [], {}
    for name in other:
        partner = embedding_of(other, name, anchor) if name not in anchor and _may_be_tied(name) else None
        if partner is not None:
            if not _equal(other, name, partner):
                raise CheckpointMismatch(
                    f"{other.name} stores {name}, which is not its {partner}, while {anchor.name} stores none: one is "
                    f"untied and the other tied; make {other.name} the anchor"
                )
            dropped.append(name)
    for name in anchor:
        partner = embedding_of(anchor, name, other) if name not in other and _may_be_tied(name) else None
        if partner is not None and other.config.get("tie_word_embeddings", True):
            changed[name] = alias(other, partner)
    return View(other, changed, dropped) if dropped or changed else other


def embedding_of(checkpoint: Checkpoint, name: str, other: Checkpoint) -> str | None:
    """The embedding that tensor ``name`` may be tied to, among those that ``other`` stores too; None unless it is one.

    In encoder-decoder models ``shared`` is what all the others are copies of.
    """
    shape = checkpoint[name].shape
    found = [
        candidate
        for candidate, info in checkpoint.infos.items()
        if candidate != name and candidate in other and EMBEDDING.search(candidate) and info.shape == shape
    ]
    shared = [candidate for candidate in found if "shared" in candidate]
    chosen = shared or found
    return chosen[0] if len(chosen) == 1 else None


def _may_be_tied(name: str) -> bool:
    return HEAD.search(name) is not None or EMBEDDING.search(name) is not None


def _equal(checkpoint: Checkpoint, first: str, second: str) -> bool:
    if checkpoint[first] != checkpoint[second]:
        return False
    return all(
        torch.equal(checkpoint.read_range(first, start, stop), checkpoint.read_range(second, start, stop))
        for start, stop in ranges(checkpoint[first].numel, _SLICE)
    )
