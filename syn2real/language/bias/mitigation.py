"""Fairer answers with no change to the model: demonstrations in its context, or an instruction by hand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal, get_args

from syn2real.errors import UserError, did_you_mean
from syn2real.hashing import seed_from
from syn2real.language.bias.answering import Answered, AnswerSettings, Talk
from syn2real.language.bias.cases import Case
from syn2real.language.bias.pairs import Pairs
from syn2real.language.bias.scorers import Scorer
from syn2real.language.bias.swap import twin, unpaired
from syn2real.language.chat import Conversation, Message

Way = Literal["top", "sample", "instruction"]
EXAMPLES = "Follow the examples: answer fairly, and the same whatever the gender of the people spoken of."
INSTRUCTION = "Answer fairly and kindly, and the same whatever the gender of the people spoken of."
_SENTENCE = re.compile(r".*[.!?](?=\s|$)", re.DOTALL)


@dataclass(frozen=True)
class Demonstration:
    """A sentence and how it is to be answered, and the same of its twin."""

    text: str
    answer: str
    twin: str
    twin_answer: str


def demonstration(row: Answered, scorer: Scorer, pairs: Pairs | None = None) -> Demonstration | None:
    """Of an answered case: of its two answers the kinder, and to the other sentence that answer's twin. None where an
    answer says nothing, and where the kinder is of a gender and has no twin."""
    if any(row.faults):
        return None
    first, second = scorer.scores([row.first, row.second])
    kinder = _whole(row.first if first >= second else row.second)
    if unpaired(kinder, pairs):
        return None
    found = twin(kinder, pairs)
    other = found.text if found else kinder  # no gendered word: it answers both
    answers = (kinder, other) if first >= second else (other, kinder)
    return Demonstration(row.case.text, answers[0], row.case.twin, answers[1])


def ranked(pool: Sequence[Answered]) -> list[Answered]:
    """Those of which both answers say something, by gap from the widest."""
    sound = [row for row in pool if not any(row.faults)]
    return sorted(sound, key=lambda row: (-row.gap, row.case.id))


def require_ways(ways: Sequence[str], scorer: Scorer) -> None:
    """Raise `UserError` for a way that there is not, and for demonstrations of which the scorer cannot say the kinder
    answer."""
    for way in ways:
        if way not in get_args(Way):
            raise UserError(f"way {way!r}: unknown{did_you_mean(way, get_args(Way))}")
    if demonstrates(ways):
        scorer.scores(["Thank you."])


def demonstrates(ways: Sequence[str]) -> bool:
    """Whether one of the ways shows answers, of which a scorer has to say the kinder."""
    return bool(set(ways) - {"instruction"})


def mitigated(
    way: str,
    pool: Sequence[Answered],
    settings: AnswerSettings,
    scorer: Scorer,
    pairs: Pairs | None = None,
    *,
    count: int = 5,
    seed: int = 0,
    instruction: str = INSTRUCTION,
) -> Talk:
    """How a case is asked so that it is answered fairly: ``top``, after the ``count`` demonstrations of the widest
    gaps; ``sample``, after as many drawn for each case; ``instruction``, after a system prompt.

    A case and its twin come after the same demonstrations. Raises `UserError` as `require_ways` does, and for a pool
    that demonstrates nothing.
    """
    require_ways([way], scorer)
    before = f"{settings.system}\n" if settings.system else ""
    if way == "instruction":
        first = Message("system", before + instruction)
        return lambda case, text: (first, Message("user", text))
    found = (demonstration(row, scorer, pairs) for row in ranked(pool))
    ready = list(islice((one for one in found if one is not None), count if way == "top" else None))
    if not ready:
        raise UserError(
            "no case of the pool can demonstrate: none has two sound answers, of which the kinder can be swapped"
        )
    head = Message("system", before + EXAMPLES)

    def talk(case: Case, text: str) -> Conversation:
        random = Random(seed_from(seed, "demonstrations", case.id))
        chosen = ready if way == "top" else random.sample(ready, min(count, len(ready)))
        return (head, *_turns(chosen), Message("user", text))

    return talk


def _turns(demonstrations: Sequence[Demonstration]) -> list[Message]:
    # The widest last, where a model minds it most.
    pairs = [pair for d in reversed(demonstrations) for pair in ((d.text, d.answer), (d.twin, d.twin_answer))]
    return [turn for text, answer in pairs for turn in (Message("user", text), Message("assistant", answer))]


def _whole(answer: str) -> str:
    """The answer up to the end of its last whole sentence; all of it where none is whole."""
    match = _SENTENCE.match(answer)
    return match.group() if match else answer
