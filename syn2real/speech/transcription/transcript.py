"""Transcripts of whole recordings, put together from their pieces, and the forms they are written in."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syn2real.errors import UserError
from syn2real.lines import write_jsonl
from syn2real.sealing import sealed_directory, write_text
from syn2real.speech.corpus import named_from
from syn2real.speech.listening import Span, Times
from syn2real.speech.transcription.outcome import Outcome
from syn2real.speech.transcription.plan import Plan
from syn2real.speech.transcription.recordings import Recording

FORMS = ("jsonl", "trn", "txt", "srt", "vtt")
REJECTED = ".rejected.jsonl"  # after the output's name


@dataclass(frozen=True)
class Transcript:
    """What was heard in a recording; or why nothing was."""

    recording: Recording
    text: str
    spans: tuple[Span, ...]
    problem: str | None

    def row(self, times: Times | None) -> dict[str, Any]:
        """The recording's row with what was heard as ``pred_text``, and its ``segments`` or ``words``."""
        if times is None:
            return self.recording.row | {"pred_text": self.text}
        spans = [{"start": span.begin, "end": span.end, "text": span.text} for span in self.spans]
        return self.recording.row | {"pred_text": self.text, f"{times}s": spans}

    @property
    def rejection(self) -> dict[str, Any]:
        """The row of a recording that could not be heard."""
        return {"id": self.recording.id, "audio_filepath": self.recording.file, "reason": self.problem}


def transcript(plan: Plan, recording: Recording, outcomes: Mapping[str, Outcome]) -> Transcript:
    """A recording's, from the outcomes of its pieces."""
    parts = [(piece.begin, outcomes[plan.keys[piece]]) for piece in plan.pieces_of.get(recording.id, [])]
    problems = [plan.problems.get(recording.id), *(part.problem for _, part in parts)]
    spans = [span.later(begin) if begin else span for begin, part in parts for span in part.spans]
    text = " ".join(part.text for _, part in parts if part.text)
    return Transcript(recording, text, tuple(spans), next((p for p in problems if p is not None), None))


def require_form(form: str, times: Times | None) -> None:
    """Raise `UserError` for subtitles without times."""
    if form in ("srt", "vtt") and times is None:
        raise UserError(f"--format {form}: subtitles need times; add --timestamps segment or --timestamps word")


def require_names(ids: Iterable[str], form: str) -> None:
    """Raise `UserError` for two recordings that a form would write under one name."""
    if form == "jsonl":
        return
    taken: dict[str, str] = {}
    for name in ids:
        plain = _bare(name) if form == "trn" else _inside(name)
        if (first := taken.setdefault(plain, name)) != name:
            raise UserError(
                f"--format {form}: {first!r} and {name!r} would both be written as {plain!r}; give one of them another "
                "id, or choose --format jsonl"
            )


def write(found: Iterable[Transcript], output: Path, form: str, times: Times | None, *, overwrite: bool) -> None:
    """Write transcripts, whole or not at all: jsonl and trn as one file, the others as a directory with a file for each
    recording. What could not be heard is listed beside, in a file that is only there if there is any."""
    found = list(found)
    heard = [transcript for transcript in found if transcript.problem is None]
    rejected = [transcript.rejection for transcript in found if transcript.problem is not None]
    beside = rejected_path(output)
    if rejected:
        write_jsonl(beside, rejected)
    else:
        beside.unlink(missing_ok=True)
    if form == "jsonl":
        write_jsonl(output, (_placed(transcript, transcript.row(times), output.parent) for transcript in heard))
    elif form == "trn":
        write_text(output, "".join(f"{t.text} ({_bare(t.recording.id)})\n" for t in heard))
    else:
        with sealed_directory(output, overwrite=overwrite) as partial:
            for transcript in heard:
                target = partial / f"{_inside(transcript.recording.id)}.{form}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_FILES[form](transcript), encoding="utf-8")


def _placed(transcript: Transcript, row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A row for a manifest in ``folder``, which the one it was read from need not lie in."""
    utterance = transcript.recording.utterance
    if utterance is None:
        return row
    return row | {"audio_filepath": named_from(folder, utterance.audio_filepath, row["audio_filepath"])}


def rejected_path(output: Path) -> Path:
    """Where what could not be heard is listed."""
    return output.with_name(output.name + REJECTED)


def line(transcript: Transcript, times: Times | None) -> str:
    """A transcript as one line of JSON; a rejected recording's with its reason."""
    row = transcript.rejection if transcript.problem is not None else transcript.row(times)
    return json.dumps(row, ensure_ascii=False)


def _plain(transcript: Transcript) -> str:
    return transcript.text + "\n"


def _srt(transcript: Transcript) -> str:
    cues = enumerate(transcript.spans, start=1)
    return "".join(f"{n}\n{_clock(s.begin, ',')} --> {_clock(s.end, ',')}\n{s.text}\n\n" for n, s in cues)


def _vtt(transcript: Transcript) -> str:
    cues = (f"{_clock(s.begin, '.')} --> {_clock(s.end, '.')}\n{_escaped(s.text)}\n\n" for s in transcript.spans)
    return "WEBVTT\n\n" + "".join(cues)


_FILES: dict[str, Callable[[Transcript], str]] = {"txt": _plain, "srt": _srt, "vtt": _vtt}


def _clock(seconds: float, point: str) -> str:
    """``01:02:03.450``; SubRip writes a comma for the point."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{point}{thousandths:03}"


def _escaped(text: str) -> str:
    """WebVTT reads ``<`` and ``&`` as marks."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _bare(name: str) -> str:
    """An id without what would end it in a trn line."""
    return "".join("_" if character in "() \t" else character for character in name)


def _inside(name: str) -> str:
    """A file name below the directory, however the id is written."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or "recording"
