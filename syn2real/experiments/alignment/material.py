"""What the studies ask and teach, drawn so that nothing which is tested was taught."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from syn2real.errors import UserError, at
from syn2real.experiments.alignment.recipe import AlignmentRecipe, PartRecipe, TeachingRecipe
from syn2real.hashing import seed_from
from syn2real.language.chat import Message
from syn2real.language.likeness import Neighbours, words
from syn2real.language.safety import SafetyPrompt, read_prompts
from syn2real.language.safety.prompts import drawn
from syn2real.language.tuning import ChatExample
from syn2real.lines import read_jsonl, read_lines
from syn2real.progress import say

ALIKE = 0.6  # of the words of two requests: as many in common and they are taken for the same


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
        return self._part(self.recipe.validation)

    @cached_property
    def test(self) -> Part:
        """What reports: no request is like one of its kind in the validation, and no question is asked there."""
        return self._part(self.recipe.test, self.validation)

    @cached_property
    def task(self) -> list[Question]:
        """The examples that the model is fine-tuned on; no sentence of them is asked."""
        first, wanted = self.recipe.validation.task + self.recipe.test.task, self.recipe.task.train
        found = self._questions[first : first + wanted]
        _say_few(self.recipe.task.examples, len(found), wanted, "to learn", "examples")
        return found

    @cached_property
    def requests(self) -> list[tuple[str, str]]:
        """Harmful requests to be taught with their refusals; none is like one that is asked."""
        teach = self._teach
        refusals = [line.strip() for _, line in read_lines(teach.refusals)]
        if not refusals:
            raise UserError(f"{teach.refusals}: holds no refusals")
        texts = [prompt.text for path in teach.requests for prompt in read_prompts(path) if prompt.harmful]
        found = list(dict.fromkeys(texts))
        apart = self._not_asked(found)
        if not apart:
            raise UserError(f"{teach.requests[0]}: every request in it is asked in the evaluation")
        if len(apart) < len(found):
            say(f"{len(found) - len(apart)} of {len(found)} requests are not taught: they are like one that is asked")
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
        found = [prompt.text for path in files for prompt in read_prompts(path)]
        apart = self._not_asked(dict.fromkeys(found))
        Random(seed_from(self.recipe.draw, "instructions")).shuffle(apart)
        return apart

    def _not_asked(self, texts: Iterable[str]) -> list[str]:
        """Those that are not like a request of either part."""
        return [text for text in texts if self._evaluated.nearest(text) < ALIKE]

    @cached_property
    def _evaluated(self) -> Neighbours:
        return Neighbours((prompt.text for part in (self.validation, self.test) for prompt in part.prompts), words)

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


def _say_few(file: Path | str, left: int, wanted: int | None, what: str, things: str = "requests") -> None:
    """Say of a file that it has fewer than are wanted."""
    if wanted is not None and left < wanted:
        say(f"{file}: {left} {things} are left {what}, of {wanted} wanted")
