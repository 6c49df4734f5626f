"""Exact match: an answer is right when it says what a reference says, capitals and punctuation around it aside."""

import re
from collections.abc import Sequence
from typing import Literal

from syn2real.errors import UserError
from syn2real.language.chat import ChatModel
from syn2real.language.utility.metric import Reply, Score, require_references
from syn2real.language.utility.questions import Question

_QUOTES = "\"'“”„‘’‚«»"


class ExactMatch:
    """Whether the answer is one of the references."""

    name = headline = "exact"
    unit: Literal["share"] = "share"
    samples = 1

    def __init__(self, pattern: str | None = None) -> None:
        r"""``pattern``: a regular expression whose last match in the answer is what counts, its first group where it
        has one: ``answer is (.*?)\.?$`` after reasoning aloud. An answer without a match is wrong."""
        try:
            self._pattern = re.compile(pattern, re.IGNORECASE | re.MULTILINE) if pattern is not None else None
        except re.error as error:
            raise UserError(f"metric exact: pattern {pattern!r} is no regular expression ({error})") from error

    def require(self, questions: Sequence[Question]) -> None:
        """See `Metric.require`."""
        require_references(questions, self.name)

    def scores(self, replies: Sequence[Reply], model: ChatModel | None = None) -> list[Score]:
        """See `Metric.scores`: 1 or 0."""
        return [Score({"exact": float(self.right(reply.texts[0], reply.question.references))}) for reply in replies]

    def right(self, text: str, references: Sequence[str]) -> bool:
        """Whether an answer is one of the references.

        >>> ExactMatch().right(" Paris. ", ["paris"])
        True
        """
        said = self._said(text)
        return said is not None and plain(said) in {plain(reference) for reference in references}

    def _said(self, text: str) -> str | None:
        if self._pattern is None:
            return text
        *_, last = (None, *self._pattern.finditer(text))
        return None if last is None else last[1 if last.re.groups else 0]


def plain(text: str) -> str:
    """In small letters, with single spaces, without quotation marks around it and full stops after it."""
    bare = text.casefold().strip()
    while bare and (bare[0] in _QUOTES or bare[-1] in (*_QUOTES, ".")):
        bare = bare.lstrip(_QUOTES).rstrip(f".{_QUOTES}").strip()
    return " ".join(bare.split())
