"""The questions of a study's task: what is learnt from, and what is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from syn2real.errors import UserError, at, did_you_mean
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


def read_task(path: Path, question: str, columns: Sequence[str] = ()) -> list[Question]:
    """Examples that are learnt, and of which some may be asked instead: a TSV whose last column is the sentence and the
    others, or those named by ``columns``, its label; a folder of texts whose names are labels; or what
    `read_examples` reads, of one turn. ``question`` is what is asked, with ``{sentence}`` in it. Raises `UserError`
    with file and line."""
    if PLACE not in question:
        raise UserError(f"task.question: has no {PLACE}, where an example's sentence goes")
    return [Question(question.replace(PLACE, sentence), answer.strip()) for sentence, answer in _pairs(path, columns)]


def read_asked(path: Path) -> list[Question]:
    """Questions that are only asked, as `read_questions` has them."""
    found = read_questions(path)
    return [Question(q.prompt, (*q.references, "")[0], q.references[1:], q.tests, q.entry_point) for q in found]


def _pairs(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in sorted(path.glob("*.txt")):
            yield from ((line.strip(), file.stem) for _, line in read_lines(file))
    elif path.suffix == ".tsv":
        table = [(line, row.split("\t")) for line, row in read_lines(path)]
        if not table:
            raise UserError(f"{path}: holds no examples")
        (first, names), *rows = table
        *labels, _ = names
        if not labels:
            raise UserError(at(path, first, "one column; a TSV has labels and, last, the sentence"))
        for name in columns:
            if name not in labels:
                raise UserError(at(path, first, f"no label column {name!r}{did_you_mean(name, labels)}"))
        wanted = [labels.index(name) for name in columns or labels]
        for line, row in rows:
            if len(row) != len(names):
                raise UserError(at(path, line, f"{len(row)} columns, where the first line names {len(names)}"))
            yield row[-1].strip(), " ".join(row[place] for place in wanted)
    else:
        for place, one in enumerate(read_examples(path), start=1):
            if not isinstance(one, ChatExample) or [turn.role for turn in one.messages] != ["user", "assistant"]:
                raise UserError(f"{path}: example {place}: a task's examples are one question and its answer")
            asked, answered = one.messages
            yield asked.content, answered.content
