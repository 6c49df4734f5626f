"""What a chat model is tuned on: conversations to be continued so, or a better and a worse reply to the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, get_args, get_type_hints

from syn2real.errors import UserError, did_you_mean
from syn2real.hashing import sha256_json
from syn2real.language.chat import Message

ROLES = get_args(get_type_hints(Message)["role"])


@dataclass(frozen=True)
class ChatExample:
    """A conversation whose assistant's turns are to be learnt. It ends in one of them."""

    messages: tuple[Message, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", tuple(self.messages))
        _require_turns(self.messages)
        if self.messages[-1].role != "assistant":
            raise UserError(f"the conversation ends in the {self.messages[-1].role}'s turn; end it in the assistant's")


@dataclass(frozen=True)
class Preference:
    """A conversation up to the user's turn, the reply that is wanted, and one that is not."""

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", tuple(self.prompt))
        _require_turns(self.prompt)
        if self.prompt[-1].role != "user":
            raise UserError(f"the prompt ends in the {self.prompt[-1].role}'s turn; end it in the user's")
        for name, reply in (("chosen", self.chosen), ("rejected", self.rejected)):
            if not reply.strip():
                raise UserError(f"{name} is empty")
        if self.chosen == self.rejected:
            raise UserError("chosen and rejected are the same, so there is nothing to prefer")


Example: TypeAlias = ChatExample | Preference


def fingerprint(examples: Sequence[Example]) -> str:
    """Hex SHA-256 of the examples in their order."""
    return sha256_json([_plain(example) for example in examples])


def _plain(example: Example) -> list[object]:
    if isinstance(example, ChatExample):
        return [[turn.role, turn.content] for turn in example.messages]
    return [[[turn.role, turn.content] for turn in example.prompt], example.chosen, example.rejected]


def _require_turns(messages: Sequence[Message]) -> None:
    """Raise `UserError` for what is no conversation."""
    if not messages:
        raise UserError("the conversation has no turns")
    for place, turn in enumerate(messages):
        if turn.role not in ROLES:
            raise UserError(f"turn {place + 1}: unknown role {turn.role!r}{did_you_mean(turn.role, ROLES)}")
        if turn.role == "system" and place:
            raise UserError(f"turn {place + 1}: a system message stands first or not at all")
        if turn.role != "system" and not turn.content.strip():
            raise UserError(f"turn {place + 1}: the {turn.role}'s is empty")
    if all(turn.role == "system" for turn in messages):
        raise UserError("the conversation has no turn of a user")
