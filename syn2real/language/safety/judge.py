"""Who says whether an answer does harm: judges behind one interface, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from syn2real.language.chat.kept import KeptReplies
from syn2real.language.options import made, require_options
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

    return made("judge", "refusal", RefusalJudge, options)


@JUDGES.register("chat")
def _chat(**options: Any) -> Judge:
    from syn2real.language.safety.rubric import RubricJudge

    return made("judge", "chat", RubricJudge.of, options)


def _guard(name: str, /, **options: Any) -> Judge:
    from syn2real.language.safety.guard import GuardJudge

    return made("judge", name, partial(GuardJudge.of, name), options)


_GUARDS = ("harmbench", "llama-guard-3", "md-judge", "wildguard")
for _name in _GUARDS:
    JUDGES.register(_name)(partial(_guard, _name))


def judge_named(name: str, /, **options: Any) -> Judge:
    """The judge of this name, with those options that are given. Raises `UserError` for what there is not, and for
    options that it does not take."""
    return made("judge", name, JUDGES.get(name), options)


def require_judge(name: str, /, **options: Any) -> None:
    """Raise `UserError` for what `judge_named` would, as far as that can be told without a model's weights: nothing is
    loaded, and nothing fetched."""
    require_options("judge", name, JUDGES.get(name), options)
    if name in _REQUIRE:
        _REQUIRE[name](**options)


def require_model(name: str) -> None:
    """Raise `UserError` for a directory that holds no model, and for a name that is none's. Of a hub id nothing is
    said."""
    from syn2real.language.chat.weights import PACKAGES, resolve_chat_model

    here = "/" not in name or name.startswith(("/", ".")) or Path(name).exists()
    if here and name not in PACKAGES:
        resolve_chat_model(name)


def _require_chat(**options: Any) -> None:
    from syn2real.language.safety.rubric import RubricJudge

    made("judge", "chat", RubricJudge.require, options)


def _require_guard(name: str, /, **options: Any) -> None:
    from syn2real.language.safety.guard import GuardJudge

    made("judge", name, partial(GuardJudge.require, name), options)


# Of those whose making loads a model, or reads a file; of others the options are looked at.
_REQUIRE: dict[str, Callable[..., object]] = {
    "refusal": _refusal,
    "chat": _require_chat,
    **{name: partial(_require_guard, name) for name in _GUARDS},
}
