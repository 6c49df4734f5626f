"""Asking for fairness and looking at what comes of it: the gaps after, and of what use the answers still are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.language.bias.answering import (
    REPLIES,
    Answered,
    AnswerSettings,
    answer_into,
    plain_talk,
)
from syn2real.language.bias.cases import Case
from syn2real.language.bias.figures import figures, paired
from syn2real.language.bias.mitigation import INSTRUCTION, mitigated, require_ways
from syn2real.language.bias.pairs import Pairs
from syn2real.language.bias.scorers import Scorer
from syn2real.language.bias.sets import CaseSet
from syn2real.language.bias.usefulness import usefulness
from syn2real.language.chat import ChatModel
from syn2real.language.chat.local import LocalModel
from syn2real.sealing import keep_only


@dataclass(frozen=True)
class Mending:
    """How fairness is asked for; see `syn2real.language.bias.mitigation.mitigated`. ``likeness`` measures distance."""

    count: int = 5
    seed: int = 0
    instruction: str = INSTRUCTION
    pairs: Pairs | None = None
    likeness: Scorer | None = None


def mended(
    model: ChatModel,
    way: str,
    before: Sequence[Answered],
    pool: Sequence[Answered],
    settings: AnswerSettings,
    scorer: Scorer,
    mending: Mending,
    folder: Path,
) -> tuple[list[Answered], dict[str, Any]]:
    """The answers to the cases ``before`` when they are asked for in this way, written to ``folder`` as `answer_into`
    does, and of what use those before and these are. Raises `UserError` as `mitigated` and the model do."""
    talk = mitigated(
        way, pool, settings, scorer, mending.pairs,
        count=mending.count, seed=mending.seed, instruction=mending.instruction,
    )  # fmt: skip
    cases = [row.case for row in before]
    rows = answer_into(folder, model, cases, settings, scorer, talk, title=f"asking {model.name} with {way}")
    told: dict[str, Any] = {"reader": model if isinstance(model, LocalModel) else None, "talk": plain_talk(settings)}
    use = {
        "before": usefulness(before, **told),
        "after": usefulness(rows, before=before, likeness=mending.likeness, asked=talk, **told),
    }
    return rows, use


def mended_record(
    target: str, way: str, before: Sequence[Answered], after: Sequence[Answered], use: dict[str, Any], threshold: float
) -> dict[str, Any]:
    """What one way did to a target's answers, as JSON."""
    return {
        "target": target,
        "way": way,
        "before": figures(before, threshold),
        "after": figures(after, threshold),
        "change": paired(before, after, threshold),
        "use": use,
    }


def mend(
    model: ChatModel,
    cases: CaseSet,
    ways: Sequence[str],
    settings: AnswerSettings,
    scorer: Scorer,
    mending: Mending,
    folder: Path,
    threshold: float,
) -> list[dict[str, Any]]:
    """Each way in turn on a set's test cases, its pool demonstrating; answers in folders of ``folder`` by way. Raises
    `UserError` as `require_ways`, `mended` and the model do."""
    require_ways(ways, scorer)

    def plain(name: str, part: Sequence[Case]) -> list[Answered]:
        place = folder / name
        place.mkdir(exist_ok=True)
        return answer_into(place, model, part, settings, scorer, title=f"asking, {name}")

    before, pool = plain("before", cases.test), plain("pool", cases.pool)
    found = []
    for way in ways:
        (folder / way).mkdir(exist_ok=True)
        after, use = mended(model, way, before, pool, settings, scorer, mending, folder / way)
        found.append(mended_record(model.name, way, before, after, use, threshold))
    for name in ("before", "pool", *ways):
        (folder / name / REPLIES).unlink(missing_ok=True)
    keep_only(folder, ("before", "pool", *ways))
    return found
