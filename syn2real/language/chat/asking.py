"""Asking a model, and keeping what it answers, so that a run which was killed asks for the rest."""

from collections.abc import Sequence
from typing import Any

from syn2real.language.chat.kept import KeptReplies
from syn2real.language.chat.model import ChatModel, Conversation, Sampling


def ask(
    model: ChatModel,
    conversations: Sequence[Conversation],
    sampling: Sampling,
    seeds: Sequence[int],
    kept: KeptReplies,
) -> list[str]:
    """The answer to each conversation. When one is not known all are asked again, for what is asked together may change
    the last bit of a sum; what was known stays as it was."""
    asked = [_stated(model, *one, sampling) for one in zip(conversations, seeds, strict=True)]
    if any(kept.recall(request) is None for request in asked):
        for request, reply in zip(asked, model.replies(conversations, sampling, seeds), strict=True):
            if kept.recall(request) is None:
                kept.keep(request, reply)
    return [str(kept.recall(request)) for request in asked]


def _stated(model: ChatModel, conversation: Conversation, seed: int, sampling: Sampling) -> dict[str, Any]:
    messages = [[turn.role, turn.content] for turn in conversation]
    drawn = [sampling.temperature, sampling.top_p, sampling.max_tokens, seed]
    return {"model": model.identity, "messages": messages, "sampling": drawn}
