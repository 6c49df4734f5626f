"""What could not be spoken: listed beside the manifest, with every voice that tried and why it failed."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.lines import read_jsonl
from syn2real.speech.corpus import Sentence
from syn2real.speech.synthesis.ledger import Standing
from syn2real.speech.verbalisation import describe

REJECTED = "rejected.jsonl"
LONGEST = 1_000  # characters: twice what fast speech gets into 30 s


def unfit(sentence: Sentence) -> str | None:
    """Why no voice can speak a sentence that a recogniser could be taught with, or None."""
    text = " ".join((sentence.text or sentence.written or "").split())
    if not text:
        return "has no text"
    if len(text) > LONGEST:
        return f"has {len(text):,} characters, more than fit into a clip of 30 s; split it"
    if not any(unicodedata.category(character)[0] in "LN" for character in text):
        return "has no letter and no digit"
    if not sentence.text:
        return f"holds nothing that a voice of its language can speak ({describe(text[0])})"
    return None


@dataclass(frozen=True)
class Rejection:
    """A rendition without a clip."""

    id: str  # as the utterance would have it
    sentence_id: str
    text: str
    reason: str
    tried: Sequence[dict[str, Any]]  # voice and reason of each attempt, with a judge's figures; empty for unfit text

    @property
    def row(self) -> dict[str, Any]:
        """The line's object."""
        return {
            "id": self.id,
            "sentence_id": self.sentence_id,
            "text": self.text,
            "tried": list(self.tried),
            "reason": self.reason,
        }

    @classmethod
    def of(cls, standing: Standing) -> "Rejection":
        """A rendition that all attempts failed at, or none was worth making."""
        sentence = standing.first.sentence
        tried = [
            {"voice": take.voice.id, "reason": outcome.problem, **(outcome.figures or {})}
            for take, outcome in standing.tried
        ]
        reason = str(tried[-1]["reason"]) if tried else unfit(sentence) or "was not spoken"
        return cls(standing.first.id, sentence.id, sentence.written or sentence.text, reason, tried)


def read_rejections(directory: Path) -> list[Rejection]:
    """The rejections of a finished corpus."""
    path = directory / REJECTED
    return [Rejection(**row) for _, row in read_jsonl(path)] if path.is_file() else []
