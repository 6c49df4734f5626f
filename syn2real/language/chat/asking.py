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
    """The answer to each conversation, as it was kept or asked for now; see `KeptReplies.recall_all`."""
    asked = [_stated(model, *one, sampling) for one in zip(conversations, seeds, strict=True)]
    return kept.recall_all(asked, lambda: model.replies(conversations, sampling, seeds))


def _stated(model: ChatModel, conversation: Conversation, seed: int, sampling: Sampling) -> dict[str, Any]:
    messages = [[turn.role, turn.content] for turn in conversation]
    drawn = [sampling.temperature, sampling.top_p, sampling.max_tokens, seed]
    return {"model": model.identity, "messages": messages, "sampling": drawn}
