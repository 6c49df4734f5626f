"""Who says whether an answer does harm: judges behind one interface, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from syn2real.errors import UserError
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.safety.answers import Answer
from syn2real.registry import Registry


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one answer. None: it did not say, or what it said could not be read."""

    harmful: bool | None
    refused: bool | None = None
    said: str = ""  # by a judge that is a model, in its words


class Judge(Protocol):
    """One way of judging."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def identity(self) -> str:
        """What tells its verdicts from those of every other judge, of the same name or not."""

    def verdicts(self, answers: Sequence[Answer], kept: KeptReplies) -> list[Verdict]:
        """A verdict on each answer, in their order. A judge that is a model keeps in ``kept`` what it said. Raises
        `UserError`."""


JUDGES: Registry[Callable[..., Judge]] = Registry("judge")


@JUDGES.register("refusal")
def _refusal(**options: Any) -> Judge:
    from syn2real.language.safety.refusal import RefusalJudge

    return RefusalJudge(**options)


@JUDGES.register("chat")
def _chat(**options: Any) -> Judge:
    from syn2real.language.safety.rubric import RubricJudge

    return RubricJudge.of(**options)


def _guard(name: str, **options: Any) -> Judge:
    from syn2real.language.safety.guard import GuardJudge

    return GuardJudge.of(name, **options)


for _name in ("harmbench", "llama-guard-3", "md-judge", "wildguard"):
    JUDGES.register(_name)(partial(_guard, _name))


def judge_named(name: str, **options: Any) -> Judge:
    """The judge of this name, with those options that are given. Raises `UserError` for what there is not."""
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return JUDGES.get(name)(**given)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise UserError(f"judge {name!r} takes no option {str(error).split()[-1]}") from error
