"""What the studies ask and teach, drawn so that nothing which is tested was taught."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from syn2real.errors import UserError, at
from syn2real.experiments.alignment.recipe import AlignmentRecipe, PartRecipe, TeachingRecipe
from syn2real.hashing import seed_from
from syn2real.language.chat import Message
from syn2real.language.safety import SafetyPrompt, read_prompts
from syn2real.language.safety.prompts import drawn
from syn2real.language.tuning import ChatExample
from syn2real.lines import read_jsonl, read_lines
from syn2real.progress import say

ALIKE = 0.6  # of the words of two requests: as much in common and they are taken for the same


@dataclass(frozen=True)
class Question:
    """One example of the task."""

    prompt: str
    answer: str

    @property
    def example(self) -> ChatExample:
        """To be learnt from."""
        return example(self.prompt, self.answer)


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
        return self._part(self.recipe.validation, 0)

    @cached_property
    def test(self) -> Part:
        """What reports. None of it is in the validation."""
        return self._part(self.recipe.test, 1)

    @cached_property
    def task(self) -> list[Question]:
        """The examples that the model is fine-tuned on; no sentence of them is asked."""
        first, wanted = self.recipe.validation.task + self.recipe.test.task, self.recipe.task.train
        found = self._questions[first : first + wanted]
        if len(found) < wanted:
            say(f"{self.recipe.task.examples}: {len(found)} examples are left to learn, of {wanted} wanted")
        return found

    @cached_property
    def requests(self) -> list[tuple[str, str]]:
        """Harmful requests to be taught with their refusals; none is like one that is asked."""
        teach = self._teach
        asked = [_words(prompt.text) for part in (self.validation, self.test) for prompt in part.prompts]
        refusals = [line.strip() for _, line in read_lines(teach.refusals)]
        if not refusals:
            raise UserError(f"{teach.refusals}: holds no refusals")
        found = [prompt.text for path in teach.requests for prompt in read_prompts(path) if prompt.harmful]
        apart = [text for text in dict.fromkeys(found) if not _like(_words(text), asked)]
        if not apart:
            raise UserError(f"{teach.requests[0]}: every request in it is asked in the evaluation")
        if len(apart) < len(found):
            say(f"{len(found) - len(apart)} of {len(found)} requests are not taught: they are like one that is asked")
        random = Random(seed_from(self.recipe.draw, "teach"))
        random.shuffle(apart)
        return [(text, random.choice(refusals)) for text in apart[: teach.count]]

    @cached_property
    def instructions(self) -> list[str]:
        """Harmless requests to be taught with the model's own answers: as many as harmful ones."""
        return self._harmless(self._teach.instructions)[: len(self.requests)]

    @cached_property
    def replayed(self) -> list[str]:
        """Harmless requests to be learnt beside the task; none is taught."""
        replay = self.recipe.task.replay
        if replay is None:
            return []
        taught = set(self.instructions) if self.recipe.teach else set()
        found = [text for text in self._harmless(replay.instructions) if text not in taught][: replay.count]
        if len(found) < replay.count:
            say(f"{replay.instructions[0]}: {len(found)} requests are left to replay, of {replay.count} wanted")
        return found

    def _harmless(self, files: Sequence[Path]) -> list[str]:
        """The requests of files that are not like one that is asked, shuffled."""
        found = [prompt.text for path in files for prompt in read_prompts(path)]
        asked = [_words(prompt.text) for part in (self.validation, self.test) for prompt in part.prompts]
        apart = [text for text in dict.fromkeys(found) if not _like(_words(text), asked)]
        Random(seed_from(self.recipe.draw, "instructions")).shuffle(apart)
        return apart

    @property
    def _teach(self) -> TeachingRecipe:
        assert self.recipe.teach is not None
        return self.recipe.teach

    @cached_property
    def _questions(self) -> list[Question]:
        recipe = self.recipe
        # A sentence with two labels counts once, or it could be both learnt and asked.
        found = list({each.prompt: each for each in _examples(recipe.task.examples, recipe.task.question)}.values())
        needed = recipe.validation.task + recipe.test.task + 1
        if len(found) < needed:
            raise UserError(f"{recipe.task.examples}: {len(found)} examples; to ask and to teach it takes {needed}")
        Random(seed_from(recipe.draw, "task")).shuffle(found)
        return found

    @cached_property
    def _asked(self) -> tuple[list[list[SafetyPrompt]], list[list[SafetyPrompt]]]:
        """The requests of each file that may be asked: harmful ones, and harmless ones."""
        safety = self.recipe.safety
        sets = [read_prompts(path) for path in safety.harmful]
        harmless = [read_prompts(path, harmless=True) for path in safety.harmless]
        wanted = [[one for one in of if one.category not in safety.skip] for of in sets]
        harmful = [[one for one in of if one.harmful] for of in wanted]
        # XSTest has both: its harmless half need not be named again.
        harmless += [[one for one in of if not one.harmful] for of in wanted]
        return [of for of in harmful if of], [of for of in harmless if of]

    def _part(self, part: PartRecipe, number: int) -> Part:
        recipe = self.recipe
        harmful, harmless = self._asked
        prompts: list[SafetyPrompt] = []
        for sets, before, count in (
            (harmful, recipe.validation.harmful, part.harmful),
            (harmless, recipe.validation.harmless, part.harmless),
        ):
            for of in sets:
                first = drawn(of, before, recipe.draw)
                left = first if number == 0 else drawn([one for one in of if one not in first], count, recipe.draw)
                prompts += left
        start = recipe.validation.task if number else 0
        return Part(tuple(prompts), tuple(self._questions[start : start + part.task]))


def example(prompt: str, answer: str) -> ChatExample:
    """One turn and its reply."""
    return ChatExample((Message("user", prompt), Message("assistant", answer)))


def _examples(path: Path, question: str) -> list[Question]:
    if path.is_dir():
        pairs = [(line.strip(), file.stem) for file in sorted(path.glob("*.txt")) for _, line in read_lines(file)]
    elif path.suffix == ".tsv":
        _, *rows = read_lines(path)  # the first names the columns
        pairs = []
        for line, row in rows:
            *label, sentence = row.split("\t")
            if not label:
                raise UserError(at(path, line, "one column; a TSV has labels and, last, the sentence"))
            pairs.append((sentence.strip(), " ".join(label)))
    else:
        pairs = []
        for line, given in read_jsonl(path):
            if not all(isinstance(given.get(key), str) for key in ("prompt", "completion")):
                raise UserError(at(path, line, "an example has prompt and completion, both text"))
            pairs.append((given["prompt"], given["completion"]))
    if "{sentence}" not in question:
        raise UserError("task.question: has no {sentence}, where an example's sentence goes")
    return [Question(question.replace("{sentence}", sentence), answer.strip()) for sentence, answer in pairs]


def _words(text: str) -> frozenset[str]:
    return frozenset("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _like(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    return any(len(words & other) >= ALIKE * len(words | other) for other in others)
