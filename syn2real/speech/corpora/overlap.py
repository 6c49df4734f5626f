"""Which sentences two corpora or texts share: what is tested must not have been trained on, nor synthesised."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from syn2real.errors import UserError
from syn2real.lines import read_jsonl, read_lines, write_jsonl
from syn2real.sealing import write_text
from syn2real.speech.corpus import read_sentences, sentence_key


@dataclass(frozen=True)
class Overlap:
    """The sentences of two collections, case and punctuation aside: of each item its key, in order."""

    first: tuple[str, ...]
    second: tuple[str, ...]

    @classmethod
    def of(cls, first: Sequence[str], second: Sequence[str]) -> "Overlap":
        """Compare two collections of texts."""
        return cls(tuple(map(sentence_key, first)), tuple(map(sentence_key, second)))

    @classmethod
    def of_files(cls, first: Path, second: Path) -> "Overlap":
        """Compare two manifests or texts. Raises `UserError` for a file that is neither."""
        return cls.of(*([sentence.text for sentence in read_sentences(path)] for path in (first, second)))

    @property
    def shared(self) -> list[str]:
        """The sentences both have, as the first has them in order."""
        both = set(self.second)
        return [key for key in dict.fromkeys(self.first) if key in both]

    def rest(self, *, once: bool = False) -> list[int]:
        """Places in the first of what the second does not have; with ``once``, of each sentence only the first."""
        seen = set(self.second)
        kept = []
        for place, key in enumerate(self.first):
            if key not in seen:
                kept.append(place)
                if once:
                    seen.add(key)
        return kept


def write_rest(source: Path, output: Path, kept: Sequence[int]) -> None:
    """Write the lines of a manifest or text at these places, as they are.

    Raises `UserError` where nothing is left, and for a manifest whose relative paths would no longer hold.
    """
    if not kept:
        raise UserError(f"{output}: nothing is left of {source}; every sentence is in both")
    if source.suffix != ".jsonl":
        lines = [line for _, line in read_lines(source)]
        write_text(output, "".join(f"{lines[place]}\n" for place in kept))
        return
    rows = [row for _, row in read_jsonl(source)]
    here = output.resolve().parent == source.resolve().parent
    if not here and any("audio_filepath" in row for row in rows):
        raise UserError(f"{output}: audio paths are relative to {source.parent}; write the new manifest there")
    write_jsonl(output, (rows[place] for place in kept))
