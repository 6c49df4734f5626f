"""The questions of a study's task: what is learnt from, and what is asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at
from syn2real.hashing import sha256_json
from syn2real.language.chat import Message
from syn2real.language.tuning import ChatExample, read_examples
from syn2real.language.utility import Question as Asked
from syn2real.language.utility import read_questions
from syn2real.lines import read_lines

PLACE = "{sentence}"


@dataclass(frozen=True)
class Question:
    """One question of the task, with its answer; or with several that are right, or tests of a program."""

    prompt: str
    answer: str
    others: tuple[str, ...] = ()  # right as well
    tests: str = ""
    entry_point: str = ""

    @property
    def example(self) -> ChatExample:
        """To be learnt from."""
        return example(self.prompt, self.answer)

    @cached_property
    def asked(self) -> Asked:
        """To be asked and marked."""
        references = (self.answer, *self.others) if self.answer or not self.tests else ()
        return Asked(sha256_json(self.key)[:12], self.prompt, references, self.tests, self.entry_point)

    @property
    def key(self) -> list[Any]:
        """Equal for equal questions, as JSON."""
        more = [list(self.others), self.tests, self.entry_point]
        return [self.prompt, self.answer, *(more if any(more) else [])]


def example(prompt: str, answer: str) -> ChatExample:
    """One turn and its reply."""
    return ChatExample((Message("user", prompt), Message("assistant", answer)))


def read_task(path: Path, question: str) -> list[Question]:
    """Examples that are learnt, and of which some may be asked instead: a TSV whose last column is the sentence and the
    others its label, a folder of texts whose names are labels, or what `read_examples` reads, of one turn. ``question``
    is what is asked, with ``{sentence}`` in it. Raises `UserError` with file and line."""
    if PLACE not in question:
        raise UserError(f"task.question: has no {PLACE}, where an example's sentence goes")
    return [Question(question.replace(PLACE, sentence), answer.strip()) for sentence, answer in _pairs(path)]


def read_asked(path: Path) -> list[Question]:
    """Questions that are only asked, as `read_questions` has them."""
    found = read_questions(path)
    return [Question(q.prompt, (*q.references, "")[0], q.references[1:], q.tests, q.entry_point) for q in found]


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in sorted(path.glob("*.txt")):
            yield from ((line.strip(), file.stem) for _, line in read_lines(file))
    elif path.suffix == ".tsv":
        _, *rows = read_lines(path)  # the first names the columns
        for line, row in rows:
            *label, sentence = row.split("\t")
            if not label:
                raise UserError(at(path, line, "one column; a TSV has labels and, last, the sentence"))
            yield sentence.strip(), " ".join(label)
    else:
        for place, one in enumerate(read_examples(path), start=1):
            if not isinstance(one, ChatExample) or [turn.role for turn in one.messages] != ["user", "assistant"]:
                raise UserError(f"{path}: example {place}: a task's examples are one question and its answer")
            asked, answered = one.messages
            yield asked.content, answered.content
