"""Transcripts in plain text: one utterance a line, or Kaldi's ``text``, where the line begins with the id."""

from collections.abc import Iterator
from pathlib import Path

from syn2real.errors import UserError, at
from syn2real.lines import read_all_lines, read_lines
from syn2real.speech.scoring import Transcript
from syn2real.speech.transcripts.rows import Line, Side


def read_plain(path: Path, side: Side) -> Iterator[Line]:
    """One transcript a line, blank lines included; the line's number is the id."""
    for number, line in read_all_lines(path):
        yield Line(number, str(number), Transcript(line.strip()))


def read_kaldi(path: Path, side: Side) -> Iterator[Line]:
    """``utterance-id words …``, with the speakers of ``utt2spk`` where one lies beside the file."""
    speakers = _speakers(path.with_name("utt2spk"))
    for number, line in read_lines(path):
        name, *words = line.strip().split(maxsplit=1)  # at a tab too
        yield Line(number, name, Transcript("".join(words), speakers.get(name)))


def _speakers(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    found = {}
    for number, line in read_lines(path):
        parts = line.split()
        if len(parts) != 2:
            raise UserError(at(path, number, "not 'utterance-id speaker-id'; correct the line or remove the file"))
        found[parts[0]] = parts[1]
    return found
