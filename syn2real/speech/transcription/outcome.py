"""What came of listening to a piece, and the file that outcomes are kept in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.lines import append_jsonl, appended_jsonl
from syn2real.speech import audio
from syn2real.speech.listening import Listener, Span
from syn2real.speech.transcription.plan import Piece
from syn2real.speech.transcription.settings import TranscriptionSettings


@dataclass(frozen=True)
class Outcome:
    """The text that was heard, with spans where times were asked for; or why there is none."""

    text: str = ""
    spans: tuple[Span, ...] = ()
    problem: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """The line's object, without its key."""
        if self.problem is not None:
            return {"problem": self.problem}
        spans = [[span.begin, span.end, span.text] for span in self.spans]
        return {"text": self.text} | ({"spans": spans} if spans else {})

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Outcome":
        """The outcome of a line."""
        spans = tuple(Span(*values) for values in row.get("spans", ()))
        return cls(row.get("text", ""), spans, row.get("problem"))


def hear(listener: Listener, batch: Sequence[Piece], settings: TranscriptionSettings) -> list[Outcome]:
    """What came of each piece of a batch. Those that cannot be read have a problem, and the others are heard."""
    outcomes: list[Outcome | None] = []
    clips = []
    for piece in batch:
        try:
            clip = piece.read()
        except audio.SilentError as error:  # between two pauses of a long recording there may be nothing
            outcomes.append(Outcome(problem=str(error)) if piece.end is None else Outcome())
        except UserError as error:  # an AudioError, or an augmentation that is none
            outcomes.append(Outcome(problem=str(error)))
        else:
            clips.append(clip)
            outcomes.append(None)
    heard = iter(listener.listen(clips, settings.listening(listener)) if clips else ())
    return [outcome or Outcome((said := next(heard)).text, said.spans) for outcome in outcomes]


class Outcomes(Mapping[str, Outcome]):
    """Outcomes by key, of the files in a folder; `keep` adds to the one of this run."""

    def __init__(self, folder: Path, tag: str) -> None:
        self._path = folder / f"{tag}.jsonl"
        self._known: dict[str, Outcome] = {}
        for path in sorted(folder.glob("*.jsonl")):
            self._known |= {row["key"]: Outcome.of(row) for row in appended_jsonl(path) if "key" in row}

    def keep(self, keys: Iterable[str], outcomes: Sequence[Outcome]) -> None:
        """Note what came of a batch, by one write. Raises `UserError` when the disk is full."""
        new = dict(zip(keys, outcomes, strict=True))
        append_jsonl(self._path, ({"key": key} | outcome.row for key, outcome in new.items()))
        self._known |= new

    def __getitem__(self, key: str) -> Outcome:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
