"""Asking a task's questions: with a system prompt and solved examples before them, once or several times."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syn2real.errors import UserError
from syn2real.hashing import seed_from
from syn2real.language.chat import ChatModel, Conversation, Message, Sampling
from syn2real.language.chat.asking import ask_in_parts
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.utility.metric import Reply
from syn2real.language.utility.questions import Question

PLACE = "{prompt}"
PLAIN = PLACE
CODE = (
    "Complete this Python function. Answer with the whole function in one block of code, and nothing else.\n\n"
    f"```python\n{PLACE}\n```"
)


@dataclass(frozen=True)
class AskingSettings:
    """How questions are asked."""

    system: str | None = None  # the system prompt; None: none is given, and a chat template may have its own
    wording: str | None = None  # what is said, with {prompt}; None: the prompt alone, or for code what asks for code
    examples: tuple[Question, ...] = ()  # solved before each question, by their first references
    max_tokens: int = 256
    temperature: float = 0.0  # 0: the likeliest tokens
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.wording is not None and PLACE not in self.wording:
            raise UserError(f"wording: has no {PLACE}, where a question's prompt goes")
        without = next((one.id for one in self.examples if not one.references), None)
        if without is not None:
            raise UserError(f"example {without!r} has no reference, so it is not solved")
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        """As a chat model takes it."""
        return Sampling(self.temperature, self.top_p, self.max_tokens)

    def conversation(self, question: Question) -> Conversation:
        """What is said to ask a question."""
        turns = [Message("system", self.system)] if self.system else []
        for one in self.examples:
            turns += [Message("user", self._worded(one)), Message("assistant", one.references[0])]
        return (*turns, Message("user", self._worded(question)))

    def _worded(self, question: Question) -> str:
        wording = self.wording or (CODE if question.entry_point else PLAIN)
        return wording.replace(PLACE, question.prompt)


def ask_all(
    model: ChatModel,
    questions: Sequence[Question],
    settings: AskingSettings,
    samples: int,
    kept: Path,
    *,
    title: str = "asking",
) -> list[Reply]:
    """``samples`` answers to each question, in their order; none for 0.

    They are kept in the file ``kept`` as they come, and the same call goes on from there after a kill. Raises
    `UserError` as the model does, and for several samples without a temperature, which would all be the same.
    """
    if samples > 1 and not settings.temperature:
        raise UserError(f"{samples} answers to each question need a temperature above 0, or all are the same")
    talks = [settings.conversation(question) for question in questions]
    jobs = [(place, sample) for place in range(len(questions)) for sample in range(samples)]
    seeds = [seed_from(settings.seed, questions[place].id, sample) for place, sample in jobs]
    fitted = [model.fitted(talk, settings.sampling) for talk in talks] if jobs else talks
    asked = [fitted[place] for place, _ in jobs]
    found = ask_in_parts(model, asked, settings.sampling, seeds, KeptReplies(kept), title=title)
    texts = (tuple(found[place * samples : (place + 1) * samples]) for place in range(len(questions)))
    cut = [one != talk for one, talk in zip(fitted, talks, strict=True)]
    return [Reply(*row) for row in zip(questions, talks, texts, cut, strict=True)]
