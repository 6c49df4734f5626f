"""What a model answers to a case and to its twin, stored with care: provoked text stands in this file and is shown
nowhere unasked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from syn2real.errors import UserError, at
from syn2real.language.bias.cases import Case
from syn2real.language.bias.scorers import Degenerate, Scorer, degenerate
from syn2real.language.chat import ChatModel, Conversation, Message, Sampling
from syn2real.language.chat.asking import TOGETHER, ask, by_length
from syn2real.language.chat.kept import KeptReplies
from syn2real.lines import read_jsonl, write_jsonl

PROVOKED, REPLIES = "provoked.jsonl", "replies.jsonl"
_TEXTS = ("id", "text", "twin", "answer", "twin_answer")
Talk = Callable[[Case, str], Conversation]


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are asked for."""

    system: str | None = None  # None: none is given, and a chat template may have its own
    max_tokens: int = 32
    temperature: float = 0.0
    seed: int = 0  # of what is drawn at a temperature above 0; a case and its twin share theirs

    @property
    def sampling(self) -> Sampling:
        """As a model takes them."""
        return Sampling(self.temperature, max_tokens=self.max_tokens)


@dataclass(frozen=True)
class Answered:
    """A case, what was answered to its sentence and to its twin, and how far the two are apart."""

    case: Case
    first: str
    second: str
    gap: float

    @property
    def faults(self) -> tuple[Degenerate | None, Degenerate | None]:
        """What is wrong with each answer."""
        return degenerate(self.first), degenerate(self.second)


def plain_talk(settings: AnswerSettings) -> Talk:
    """The sentence alone, after the system prompt if there is one."""
    first = (Message("system", settings.system),) if settings.system is not None else ()
    return lambda case, text: (*first, Message("user", text))


def answer_cases(
    model: ChatModel,
    cases: Sequence[Case],
    settings: AnswerSettings,
    scorer: Scorer,
    kept: KeptReplies,
    talk: Talk | None = None,
    *,
    title: str | None = "answering",
    silent: bool = False,
) -> list[Answered]:
    """The model's answers to every case and its twin, in the cases' order.

    What is answered is ``kept``, and the same call goes on from there after a kill, or when a server failed midway.
    ``talk`` makes the conversation of a case and one of its two sentences. Raises `UserError` as the model does, and
    when every answer is empty, unless the model may be ``silent``: two empty answers are no fair ones.
    """
    talk = talk or plain_talk(settings)

    def ask_part(places: Sequence[int]) -> list[tuple[str, str]]:
        """The answers to cases and to their twins, which are asked together."""
        asked = [talk(cases[place], text) for place in places for text in (cases[place].text, cases[place].twin)]
        fitted = [model.fitted(conversation, settings.sampling) for conversation in asked]
        seeds = [settings.seed + place for place in places for _ in range(2)]
        said = ask(model, fitted, settings.sampling, seeds, kept)
        return list(zip(said[::2], said[1::2], strict=True))

    replies = by_length([len(case.text) for case in cases], ask_part, title=title, together=TOGETHER)
    if cases and not silent and not any(degenerate(text) != "empty" for pair in replies for text in pair):
        raise UserError(f"{model.name}: answered all {2 * len(cases)} sentences with nothing; is it a chat model?")
    firsts, seconds = ([pair[side] for pair in replies] for side in (0, 1))
    gaps = scorer.gaps(firsts, seconds)
    return [Answered(*row) for row in zip(cases, firsts, seconds, gaps, strict=True)]


def answer_into(
    folder: Path,
    model: ChatModel,
    cases: Sequence[Case],
    settings: AnswerSettings,
    scorer: Scorer,
    talk: Talk | None = None,
    *,
    title: str | None = "answering",
) -> list[Answered]:
    """As `answer_cases`, written to `PROVOKED` in ``folder``; `REPLIES` beside it, from which a stopped call goes on,
    is the caller's to remove when the folder is whole."""
    rows = answer_cases(model, cases, settings, scorer, KeptReplies(folder / REPLIES), talk, title=title)
    write_answered(folder / PROVOKED, rows)
    return rows


def write_answered(path: Path, rows: Sequence[Answered]) -> None:
    """Write them as JSONL, each line marked as provoked."""
    write_jsonl(
        path,
        (
            {
                "provoked": True,
                "id": row.case.id,
                "text": row.case.text,
                "twin": row.case.twin,
                "answer": row.first,
                "twin_answer": row.second,
                "gap": row.gap,
            }
            for row in rows
        ),
    )


def read_answered(path: Path) -> list[Answered]:
    """What `write_answered` wrote. Raises `UserError` with file and line."""
    return list(_answered(path))


def _answered(path: Path) -> Iterator[Answered]:
    for line, row in read_jsonl(path):
        name, text, twin, first, second = (str(row.get(name, "")) for name in _TEXTS)
        if not row.keys() >= {*_TEXTS} or not isinstance(row.get("gap"), int | float):
            raise UserError(at(path, line, f"no answered case: {', '.join(_TEXTS)} and gap make one"))
        yield Answered(Case(name, text, twin), first, second, float(row["gap"]))
