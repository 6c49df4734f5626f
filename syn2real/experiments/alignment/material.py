"""What the studies ask and teach, drawn so that nothing which is tested was taught."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TypeVar

from syn2real.errors import UserError
from syn2real.experiments.alignment.questions import PLACE, Question, read_asked, read_task
from syn2real.experiments.alignment.recipe import AlignmentRecipe, MergeAlignRecipe, PartRecipe, TeachingRecipe
from syn2real.experiments.alignment.standins import (
    stand_in_cases,
    stand_in_preferences,
    stand_in_prompts,
    stand_in_questions,
)
from syn2real.hashing import seed_from
from syn2real.language.bias.cases import Case, read_cases
from syn2real.language.bias.sets import read_set
from syn2real.language.likeness import Neighbours, words
from syn2real.language.safety import SafetyPrompt, read_prompts
from syn2real.language.safety.prompts import drawn, sources
from syn2real.language.tuning import Preference, read_examples
from syn2real.lines import read_lines
from syn2real.progress import say

PREFERENCES = 1000  # in a file of them, a dry run assumes where it is not there
T = TypeVar("T")
ALIKE = 0.6  # of the words of two requests: as many in common and they are taken for the same


@dataclass(frozen=True)
class Part:
    """What is asked in validation or in the test."""

    prompts: tuple[SafetyPrompt, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Material:
    """All requests and examples of a study."""

    recipe: AlignmentRecipe

    @cached_property
    def validation(self) -> Part:
        """What chooses."""
        return self._part(self.recipe.validation)

    @cached_property
    def test(self) -> Part:
        """What reports: no request is like one of its kind in the validation, and no question is asked there."""
        return self._part(self.recipe.test, self.validation)

    @cached_property
    def task(self) -> list[Question]:
        """The examples that the model is fine-tuned on; no sentence of them is asked."""
        wanted = self.recipe.task.train
        if self.recipe.task.asked is None:
            first = self.recipe.validation.task + self.recipe.test.task
            found = self._examples[first : first + wanted]
        else:
            prompts = [question.prompt for part in (self.validation, self.test) for question in part.questions]
            # What is learnt is a sentence in the recipe's own words; what is asked may be so, or the sentence alone.
            asked = {*prompts, *(self.recipe.task.question.replace(PLACE, prompt) for prompt in prompts)}
            found = [one for one in self._examples if one.prompt not in asked][:wanted]
        _say_few(self.recipe.task.examples, len(found), wanted, "to learn", "examples")
        return found

    @cached_property
    def cases(self) -> list[Case]:
        """Sentences with their twins, to which answers are compared; none where the recipe compares none."""
        bias = self.recipe.bias
        if bias is None:
            return []
        path = bias.cases
        if not path.exists():
            return stand_in_cases(path, bias.count)
        found = list(read_set(path).test) if path.is_dir() else read_cases(path)
        Random(seed_from(self.recipe.draw, "cases")).shuffle(found)
        _say_few(path, len(found), bias.count, "to compare answers to", "cases")
        return found[: bias.count]

    @cached_property
    def requests(self) -> list[tuple[str, str]]:
        """Harmful requests to be taught with their refusals; none is like one that is asked."""
        teach = self._teach
        refusals = [line.strip() for _, line in read_lines(teach.refusals)]
        if not refusals:
            raise UserError(f"{teach.refusals}: holds no refusals")
        texts = [prompt.text for path in teach.requests for prompt in read_prompts(path) if prompt.harmful]
        found = list(dict.fromkeys(texts))
        apart = self._to_teach(found, str, teach.requests[0])
        random = Random(seed_from(self.recipe.draw, "teach"))
        random.shuffle(apart)
        _say_few(teach.requests[0], len(apart), teach.count, "to teach")
        return [(text, random.choice(refusals)) for text in apart[: teach.count]]

    @cached_property
    def instructions(self) -> list[str]:
        """Harmless requests to be taught with the model's own answers: as many as harmful ones."""
        found, wanted = self._harmless(self._teach.instructions), len(self.requests)
        _say_few(self._teach.instructions[0], len(found), wanted, "to teach")
        return found[:wanted]

    @cached_property
    def preferences(self) -> list[Preference]:
        """Of the recipe's own file; stand-ins in a dry run where that is not there."""
        assert isinstance(self.recipe, MergeAlignRecipe) and self.recipe.preference_data is not None
        file = self.recipe.preference_data
        if not file.exists():
            return stand_in_preferences(file, PREFERENCES)
        found = [one for one in read_examples(file) if isinstance(one, Preference)]
        if not found:
            raise UserError(f"{file}: holds no preferences; each has a prompt, chosen and rejected")
        return self._to_teach(found, lambda one: one.prompt[-1].content, file)

    @cached_property
    def replayed(self) -> list[str]:
        """Harmless requests to be learnt beside the task; none is taught."""
        replay = self.recipe.task.replay
        if replay is None:
            return []
        taught = set(self.instructions) if self.recipe.teach else set()
        found = [text for text in self._harmless(replay.instructions) if text not in taught]
        _say_few(replay.instructions[0], len(found), replay.count, "to replay")
        return found[: replay.count]

    def _harmless(self, files: Sequence[Path]) -> list[str]:
        """The requests of files that are not like one that is asked, shuffled."""
        found = [one.text for path in files for one in read_prompts(path, harmless=True) if not one.harmful]
        apart = [text for text in dict.fromkeys(found) if self._apart(text)]
        Random(seed_from(self.recipe.draw, "instructions")).shuffle(apart)
        return apart

    def _to_teach(self, found: Sequence[T], text_of: Callable[[T], str], file: Path) -> list[T]:
        """Those of a file whose requests are not like one that is asked. Raises `UserError` when none is left."""
        apart = [one for one in found if self._apart(text_of(one))]
        if not apart:
            raise UserError(f"{file}: every request in it is asked in the evaluation")
        if dropped := len(found) - len(apart):
            say(f"{dropped} of {len(found)} requests are not taught: they are like one that is asked")
        return apart

    def _apart(self, text: str) -> bool:
        """Whether a text is not like a request of either part."""
        return self._evaluated.nearest(text) < ALIKE

    @cached_property
    def _evaluated(self) -> Neighbours:
        return Neighbours((prompt.text for part in (self.validation, self.test) for prompt in part.prompts), words)

    @property
    def _teach(self) -> TeachingRecipe:
        assert self.recipe.teach is not None
        return self.recipe.teach

    @cached_property
    def _examples(self) -> list[Question]:
        recipe = self.recipe
        own = recipe.task.asked is not None
        needed = 1 + (0 if own else recipe.validation.task + recipe.test.task)
        file = recipe.task.examples
        found = (
            read_task(file, recipe.task.question, recipe.task.columns)
            if file.exists()
            else stand_in_questions(file, needed + recipe.task.train)
        )
        return self._shuffled(found, file, needed, "to teach" if own else "to ask and to teach")

    @cached_property
    def _questions(self) -> list[Question]:
        recipe, file = self.recipe, self.recipe.task.asked
        if file is None:
            return self._examples
        needed = recipe.validation.task + 1
        found = read_asked(file) if file.exists() else stand_in_questions(file, needed + recipe.test.task)
        return self._shuffled(found, file, needed, "to ask in validation and in the test")

    def _shuffled(self, found: Iterable[Question], file: Path, needed: int, what: str) -> list[Question]:
        # A sentence with two labels counts once, or it could be both learnt and asked.
        distinct = list({each.prompt: each for each in found}.values())
        if len(distinct) < needed:
            raise UserError(f"{file}: {len(distinct)} examples; {what} it takes {needed}")
        Random(seed_from(self.recipe.draw, "task")).shuffle(distinct)
        return distinct

    def _prompts(self, path: Path, name: str, *, harmless: bool = False) -> list[SafetyPrompt]:
        if path.exists():
            return read_prompts(path, harmless=harmless, name=name)
        parts = (self.recipe.validation, self.recipe.test)
        return stand_in_prompts(path, sum(part.harmless if harmless else part.harmful for part in parts), harmless)

    @cached_property
    def _asked(self) -> tuple[list[list[SafetyPrompt]], list[list[SafetyPrompt]]]:
        """The requests of each file that may be asked: harmful ones, and harmless ones."""
        safety = self.recipe.safety
        named = sources([*safety.harmful, *safety.harmless])
        files = {path.resolve(): path for path in safety.harmful}
        # XSTest has both: its harmless half need not be named again, and if it is, it is asked once.
        others = {path.resolve(): path for path in safety.harmless if path.resolve() not in files}
        sets = [self._prompts(path, named[path]) for path in files.values()]
        read = [self._prompts(path, named[path], harmless=True) for path in others.values()]
        harmless = [[one for one in of if not one.harmful] for of in read]
        wanted = [[one for one in of if one.category not in safety.skip] for of in sets]
        harmful = [[one for one in of if one.harmful] for of in wanted]
        harmless += [[one for one in of if not one.harmful] for of in wanted]
        return [of for of in harmful if of], [of for of in harmless if of]

    def _part(self, part: PartRecipe, earlier: Part | None = None) -> Part:
        """What is asked in a part, apart from what an earlier one asks."""
        prompts: list[SafetyPrompt] = []
        for harmful, sets in zip((True, False), self._asked, strict=True):
            count = part.harmful if harmful else part.harmless
            # Of one kind: sets such as XSTest pair a harmful request with a harmless one in the same words.
            before = [prompt.text for prompt in earlier.prompts if prompt.harmful == harmful] if earlier else []
            known = Neighbours(before, words)
            for of in sets:
                apart = [one for one in of if known.nearest(one.text) < ALIKE]
                _say_few(of[0].source, len(apart), count, "to ask")
                prompts += drawn(apart, count, self.recipe.draw)
        start = len(earlier.questions) if earlier else 0
        return Part(tuple(prompts), tuple(self._questions[start : start + part.task]))


def _say_few(file: Path | str, left: int, wanted: int | None, what: str, things: str = "requests") -> None:
    """Say of a file that it has fewer than are wanted."""
    if wanted is not None and left < wanted:
        say(f"{file}: {left} {things} are left {what}, of {wanted} wanted")
