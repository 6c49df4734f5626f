"""What a chat model is: something that answers conversations, the same for the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from syn2real.errors import UserError


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Conversation = Sequence[Message]


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. At ``temperature`` 0 the likeliest token is taken each time, and no seed matters."""

    temperature: float = 0.0
    top_p: float = 1.0  # the likeliest tokens that together have this share of the probability
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 5:
            raise UserError(f"temperature must be within 0 and 5, not {self.temperature:g}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p:g}")
        if self.max_tokens < 1:
            raise UserError(f"max_tokens must be 1 or more, not {self.max_tokens}")


class ChatModel(Protocol):
    """A model of one's own or a server's."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def licence(self) -> str:
        """Under which its answers may be used, as far as is known."""

    @property
    def identity(self) -> str:
        """What tells its answers from those of every other model, of the same name or not."""

    def replies(self, conversations: Sequence[Conversation], sampling: Sampling, seeds: Sequence[int]) -> list[str]:
        """The answer to each conversation, drawn by its own seed, in their order.

        What is answered depends on the conversation and its seed, not on the others asked with it. Raises `UserError`.
        """

    def fitted(self, conversation: Conversation, sampling: Sampling) -> Conversation:
        """The conversation, its last turn cut at the beginning to what the model's context leaves beside an answer. As
        it is where it fits, where nothing that is left would, and where the model does not say how much it holds."""
