"""Test cases: sentences with their twins, and what makes a sentence none."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Literal

from syn2real.errors import UserError, at
from syn2real.hashing import sha256_json
from syn2real.language.bias.pairs import Pairs
from syn2real.language.bias.swap import twin
from syn2real.lines import read_jsonl, read_lines, read_utf8, write_jsonl
from syn2real.progress import say

Malformed = Literal["no gendered word", "twin in doubt", "length", "cut off", "characters", "repetition", "several"]

FEWEST, MOST = 4, 40  # words
_ENDS = (".", "!", "?", '."', '!"', '?"', ".”", "!”", "?”")
_ODD = re.compile(r"[^\w\s.,;:!?'’\"“”()/%$£€&–—-]")
_SEVERAL = re.compile(r"[.!?][\"”’']?\s+\S.*[.!?]\s+\S")  # three sentences or more
_QUOTES = '"“”'


@dataclass(frozen=True)
class Case:
    """A sentence and its twin; ``id`` names the sentence."""

    id: str
    text: str
    twin: str


def case_of(text: str, pairs: Pairs | None = None) -> Case | Malformed:
    """The case that a sentence makes, or why it makes none.

    >>> case_of("He drives to his office.").twin
    'She drives to her office.'
    >>> case_of("It rains all day.")
    'no gendered word'
    """
    text = " ".join(text.split()).strip(_QUOTES)
    words = text.split()
    if not FEWEST <= len(words) <= MOST:
        return "length"
    if _ODD.search(text) or not text[0].isalnum():
        return "characters"
    if not text.endswith(_ENDS):
        return "cut off"
    if _SEVERAL.search(text):
        return "several"
    if repeats(text):
        return "repetition"
    found = twin(text, pairs)
    if found is None:
        return "no gendered word"
    if not found.exact:
        return "twin in doubt"
    return Case(_id(text), text, found.text)


def key(case: Case) -> str:
    """What a case and its twin have in common, in small words: of two spellings of one the same."""
    return min(words_of(case.text), words_of(case.twin))


def words_of(text: str) -> str:
    """The words of a text, small and without marks.

    >>> words_of("Isn't she late?")
    "isn't she late"
    """
    return " ".join(re.findall(r"[\w'’-]+", text.lower())).replace("’", "'")


def repeats(text: str) -> bool:
    """Whether a text says the same again and again: fewer than half of its runs of three words are distinct, or a word
    stands there four times in a row."""
    words = words_of(text).split()
    if any(len(set(words[start : start + 4])) == 1 for start in range(len(words) - 3)):
        return True
    runs = [tuple(words[start : start + 3]) for start in range(len(words) - 2)]
    return len(runs) >= 6 and len(set(runs)) * 2 < len(runs)


def cases_of(texts: Iterable[str], pairs: Pairs | None = None) -> tuple[list[Case], Counter[str]]:
    """The distinct cases of sentences, and how many are left out, by reason."""
    found: dict[str, Case] = {}
    left: Counter[str] = Counter()
    for text in texts:
        case = case_of(text, pairs)
        if isinstance(case, str):
            left[case] += 1
        elif key(case) in found:
            left["duplicate"] += 1
        else:
            found[key(case)] = case
    return list(found.values()), left


def write_cases(path: Path, cases: Iterable[Case]) -> None:
    """One case a line, as JSON."""
    write_jsonl(path, ({"id": case.id, "text": case.text, "twin": case.twin} for case in cases))


def read_cases(path: Path, pairs: Pairs | None = None) -> list[Case]:
    """The cases of a file: JSONL with ``text``, and ``id`` and ``twin`` where they are known; or plain text, or a CSV's
    column ``sentence``. Those that make no case are left out, and it is said on stderr how many, and why. Raises
    `UserError` with file and line, also for an id that is given twice."""
    found, left = _written(path, pairs) if path.suffix == ".jsonl" else cases_of(read_sentences(path), pairs)
    if not found:
        raise UserError(f"{path}: holds no test case: sentences of {FEWEST} to {MOST} words with a gendered word")
    if left:
        reasons = ", ".join(f"{reason} {count}" for reason, count in left.most_common())
        say(f"{path}: {left.total()} of {left.total() + len(found)} sentences are left out ({reasons})")
    return found


def read_sentences(path: Path) -> list[str]:
    """The sentences of a text file, one a line, of a CSV's column ``sentence``, or of JSONL with ``text``. Raises
    `UserError` with file and line."""
    if path.suffix == ".csv":
        import csv

        rows = csv.DictReader(StringIO(read_utf8(path), newline=""))
        try:
            if "sentence" not in (rows.fieldnames or ()):
                raise UserError(at(path, 1, "no column 'sentence'; name the column of the sentences so"))
            found = [row["sentence"] or "" for row in rows]
        except csv.Error as error:
            raise UserError(at(path, rows.line_num, f"is no CSV ({error})")) from error
    elif path.suffix == ".jsonl":
        found = [_text(path, line, row.get("text")) for line, row in read_jsonl(path)]
    else:
        found = [line for _, line in read_lines(path)]
    sentences = [" ".join(text.split()).strip(_QUOTES) for text in found]
    return [text for text in sentences if text]


def _written(path: Path, pairs: Pairs | None) -> tuple[list[Case], Counter[str]]:
    """The cases of a JSONL file, and how many rows are left out, by reason. Of rows without an id the same sentence is
    one case."""
    found: list[Case] = []
    lines: dict[str, int] = {}  # by id
    left: Counter[str] = Counter()
    for line, row in read_jsonl(path):
        text, name, other = _text(path, line, row.get("text")), row.get("id"), row.get("twin")
        case = Case(_id(text), text, other) if isinstance(other, str) else case_of(text, pairs)
        if isinstance(case, str):
            left[case] += 1
            continue
        named = name not in (None, "")
        case = replace(case, id=str(name)) if named else case
        if case.id not in lines:
            lines[case.id] = line
            found.append(case)
        elif named:
            raise UserError(at(path, line, f"id {case.id!r} is that of line {lines[case.id]}; give each case its own"))
        else:
            left["duplicate"] += 1
    return found, left


def _id(text: str) -> str:
    return f"case-{sha256_json(text)[:12]}"


def _text(path: Path, line: int, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise UserError(at(path, line, 'no text: a case is {"text": …}'))
    return given
