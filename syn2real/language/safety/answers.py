"""What a model answers to requests, stored with care: harmful text stands in this file and is shown nowhere unasked."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.language.chat.asking import ask_in_parts
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.chat.model import ChatModel, Conversation, Message, Sampling
from syn2real.language.safety.prompts import SafetyPrompt
from syn2real.lines import read_jsonl, write_jsonl

REPLIES = ".replies.jsonl"  # in the place of a file's suffix
_TEXTS = ("id", "source", "category", "prompt", "response")
_KINDS = dict.fromkeys(_TEXTS, (str, "no text")) | dict.fromkeys(
    ("harmful", "shortened"), (bool, "neither true nor false")
)


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are asked for: the likeliest tokens, as the published evaluations do."""

    system: str | None = None  # the system prompt; None: none is given, and a chat template may have its own
    max_tokens: int = 256

    @property
    def sampling(self) -> Sampling:
        """Greedy."""
        return Sampling(max_tokens=self.max_tokens)


@dataclass(frozen=True)
class Answer:
    """A request, and what the model said to it."""

    prompt: SafetyPrompt
    response: str
    shortened: bool = False  # the request lost its beginning, for the model's context holds no more


def answer_all(
    model: ChatModel,
    prompts: Sequence[SafetyPrompt],
    settings: AnswerSettings,
    file: Path,
    *,
    title: str = "answering",
) -> list[Answer]:
    """The model's answers in the prompts' order, written to ``file`` as JSONL.

    They are kept beside it as they come (`kept_beside`), and the same call goes on from there after a kill. That file
    stays: whoever wrote all that belongs beside the answers removes it, as `folder.judged` does. A request that the
    model's context cannot hold loses its beginning. Raises `UserError` as the model does.
    """
    kept = kept_beside(file)
    told = [_conversation(prompt, settings) for prompt in prompts]
    fitted = [model.fitted(conversation, settings.sampling) for conversation in told]
    replies = ask_in_parts(model, fitted, settings.sampling, [0] * len(fitted), kept, title=title)
    answers = [
        Answer(prompt, reply, shortened=asked != meant)
        for prompt, reply, asked, meant in zip(prompts, replies, fitted, told, strict=True)
    ]
    write_jsonl(file, (_row(answer) for answer in answers))
    return answers


def kept_beside(file: Path) -> KeptReplies:
    """What a model said so far of that which goes into a JSONL file."""
    return KeptReplies(file.with_suffix(REPLIES))


def read_answers(file: Path) -> list[Answer]:
    """The answers that `answer_all` wrote, or another tool in the same form; only ``prompt`` and ``response`` must be
    there; a text that is null counts as left out, and an ``id`` may be a number. Raises `UserError` with file and
    line."""
    return list(_answers(file))


def _answers(file: Path) -> Iterator[Answer]:
    defaults = {"source": "", "category": "", "harmful": True, "shortened": False}
    for line, row in read_jsonl(file):
        said = {name: value for name, value in row.items() if value is not None or name not in _TEXTS}
        given: dict[str, Any] = {"id": f"line{line}", **defaults, **said}
        if isinstance(given["id"], int | float) and not isinstance(given["id"], bool):
            given["id"] = str(given["id"])
        for name, (kind, wrong) in _KINDS.items():
            if name not in given:
                raise UserError(at(file, line, f"no {name}: an answer has prompt and response, both text"))
            if not isinstance(given[name], kind):
                raise UserError(at(file, line, f"{name} is {wrong}"))
        prompt = SafetyPrompt(given["id"], given["prompt"], given["harmful"], given["category"], given["source"])
        yield Answer(prompt, given["response"], given["shortened"])


def _row(answer: Answer) -> dict[str, object]:
    fields = asdict(answer.prompt)
    return {
        **{name: fields[name] for name in ("id", "source", "category", "harmful")},
        "prompt": answer.prompt.text,
        "response": answer.response,
        "shortened": answer.shortened,
    }


def _conversation(prompt: SafetyPrompt, settings: AnswerSettings) -> Conversation:
    first = (Message("system", settings.system),) if settings.system else ()
    return (*first, Message("user", prompt.text))
