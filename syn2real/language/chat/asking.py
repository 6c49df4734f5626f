"""Asking a model, and keeping what it answers, so that a run which was killed asks for the rest."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from syn2real.language.chat.kept import KeptReplies
from syn2real.language.chat.local import LocalModel
from syn2real.language.chat.model import ChatModel, Conversation, Sampling
from syn2real.progress import track

T = TypeVar("T")
TOGETHER = 32  # conversations asked at once, of similar length


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


def ask_in_parts(
    model: ChatModel,
    conversations: Sequence[Conversation],
    sampling: Sampling,
    seeds: Sequence[int],
    kept: KeptReplies,
    *,
    title: str,
) -> list[str]:
    """`ask`, of many conversations: in parts of similar length, so that a kill loses one part at most."""

    def part(places: Sequence[int]) -> list[str]:
        talks, drawn = [conversations[place] for place in places], [seeds[place] for place in places]
        return ask(model, talks, sampling, drawn, kept)

    lengths = [sum(len(turn.content) for turn in talk) for talk in conversations]
    # A model of one's own answers two batches side by side. Of a server's a kill loses what was paid for.
    together = 2 * TOGETHER if isinstance(model, LocalModel) else TOGETHER
    return by_length(lengths, part, title=title, together=together)


def by_length(
    lengths: Sequence[int],
    ask_part: Callable[[Sequence[int]], Sequence[T]],
    *,
    title: str | None,
    together: int,
) -> list[T]:
    """What is found of each of so many things of these lengths, asked for in parts of ``together``, the shortest first;
    ``ask_part`` is given the places of a part. Progress is shown under a ``title``."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    starts = range(0, len(order), together)
    found: dict[int, T] = {}
    for start in track(starts, title) if title and order else starts:
        places = order[start : start + together]
        found |= zip(places, ask_part(places), strict=True)
    return [found[place] for place in range(len(lengths))]


def _stated(model: ChatModel, conversation: Conversation, seed: int, sampling: Sampling) -> dict[str, Any]:
    messages = [[turn.role, turn.content] for turn in conversation]
    drawn = [sampling.temperature, sampling.top_p, sampling.max_tokens, seed]
    return {"model": model.identity, "messages": messages, "sampling": drawn}
