"""The reward of a generated sentence: how far apart the answers to it and to its twin are, less what it lacks in
novelty."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from syn2real.language.bias.answering import REPLIES, AnswerSettings, answer_cases
from syn2real.language.bias.cases import Case, case_of, key
from syn2real.language.bias.pairs import Pairs
from syn2real.language.bias.scorers import Scorer
from syn2real.language.chat import ChatModel
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.likeness import Neighbours
from syn2real.lines import append_jsonl, appended_jsonl, write_jsonl
from syn2real.sealing import read_json

ROLLOUTS, RECORD = "rollouts.jsonl", "reinforcement.json"


@dataclass(frozen=True)
class RewardSettings:
    """What is paid for. Without a gendered word, malformed, or answered with nothing: 0, and nothing is less."""

    novelty: float = 0.5  # of the likeness to the nearest sentence before, so much is taken off
    pool: int = 2000  # sentences before that count
    answers: AnswerSettings = field(default_factory=AnswerSettings)


@dataclass(frozen=True)
class Paid:
    """A sentence, and what it was paid."""

    step: int
    text: str
    reward: float
    gap: float = 0.0
    likeness: float = 0.0
    fault: str | None = None


class Reward:
    """Pays sentences, step by step, and keeps account in ``directory``: a run that goes on from an earlier step forgets
    what came after it, so that it pays the same again."""

    def __init__(
        self,
        target: ChatModel,
        scorer: Scorer,
        settings: RewardSettings,
        directory: Path,
        pairs: Pairs | None = None,
    ) -> None:
        self._target, self._scorer, self._settings, self._pairs = target, scorer, settings, pairs
        self._rollouts = directory / ROLLOUTS
        self._kept = KeptReplies(directory / REPLIES)
        self._paid: list[Paid] = []
        self._keys: list[str] = []  # of the cases among them

    @property
    def paid(self) -> list[Paid]:
        """All that was paid so far."""
        return list(self._paid)

    def resume(self, step: int) -> None:
        """Go on from a step: what was paid in it and later is forgotten."""
        known = [Paid(**row) for row in appended_jsonl(self._rollouts)] if self._rollouts.is_file() else []
        self._paid = [paid for paid in known if paid.step < step]
        cases = (case_of(paid.text, self._pairs) for paid in self._paid)
        self._keys = [key(case) for case in cases if isinstance(case, Case)]
        self._write()

    def close(self) -> None:
        """Write the account whole, the same bytes however often it was taken up, and forget the answers."""
        self._write()
        self._kept.path.unlink(missing_ok=True)

    def _write(self) -> None:
        write_jsonl(self._rollouts, (asdict(paid) for paid in self._paid))

    def __call__(self, texts: Sequence[str], step: int) -> list[float]:
        """The rewards of a step's sentences, from 0 on; of two alike in one step the later is the less novel."""
        found = [case_of(text, self._pairs) for text in texts]
        cases = list({case.id: case for case in found if isinstance(case, Case)}.values())
        known = Neighbours()
        for words in self._keys[-self._settings.pool :]:
            known.add(words)
        rows = answer_cases(
            self._target, cases, self._settings.answers, self._scorer, self._kept, title=None, silent=True
        )
        answered = {row.case.id: row for row in rows}
        new = []
        for text, case in zip(texts, found, strict=True):
            if not isinstance(case, Case):
                new.append(Paid(step, text, 0.0, fault=case))
                continue
            row = answered[case.id]
            likeness = known.nearest(key(case))
            known.add(key(case))
            self._keys.append(key(case))
            fault = next((fault for fault in row.faults if fault), None)
            worth = 0.0 if fault else max(0.0, row.gap - self._settings.novelty * likeness)
            new.append(Paid(step, text, worth, row.gap, likeness, fault))
        self._paid += new
        append_jsonl(self._rollouts, [asdict(paid) for paid in new])
        return [paid.reward for paid in new]


def learning_curve(paid: Sequence[Paid]) -> list[dict[str, Any]]:
    """By step: the mean reward, the mean gap of the sound cases, their share, and their mean likeness to those
    before."""
    curve = []
    for step in sorted({one.step for one in paid}):
        rows = [one for one in paid if one.step == step]
        sound = [one for one in rows if one.fault is None]
        curve.append(
            {
                "step": step,
                "reward": sum(one.reward for one in rows) / len(rows),
                "gap": sum(one.gap for one in sound) / len(sound) if sound else None,
                "sound": len(sound) / len(rows),
                "likeness": sum(one.likeness for one in sound) / len(sound) if sound else None,
            }
        )
    return curve


def reinforcement_in(directory: Path) -> dict[str, Any]:
    """The settings and the learning curve of a generator that was reinforced. Raises `UserError` where there are
    none."""
    return read_json(directory, RECORD, "it is no generator that was reinforced here")
