"""The forms of NIST's sclite: ``trn``, a transcript a line, and ``stm`` with ``ctm``, segments and timed words.

Their layout is described in the documentation of SCTK. A reference may hold alternations, ``{um / uh / @}``: the one
nearest to what was heard is what was said. ``@`` is no word. Comments begin with ``;;``.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from syn2real.errors import UserError, at
from syn2real.lines import read_lines
from syn2real.progress import say
from syn2real.speech.alignment import distance
from syn2real.speech.scoring import Transcript
from syn2real.speech.transcripts.rows import Line, Side
from syn2real.speech.verbalisation import bare

COMBINED = 6  # alternations of one utterance that are tried in all combinations
IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
_ALTERNATION = re.compile(r"\{([^{}]*)\}")  # the innermost, for they may be nested
_ENDING_ID = re.compile(r"\(([^()\s]+)\)\s*$")


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording and what is said in it; times in seconds."""

    line: int
    id: str
    channel: tuple[str, str]  # recording, and channel of it
    begin: float
    end: float
    transcript: Transcript
    scored: bool


@dataclass(frozen=True)
class Word:
    """A word and the middle of its time, in seconds."""

    text: str
    middle: float


def read_trn(path: Path, side: Side) -> Iterator[Line]:
    """``words … (speaker-utterance)``: the speaker is what stands before the first dash or underscore of the id."""
    for number, line in _content(path):
        found = _ENDING_ID.search(line)
        if found is None:
            raise UserError(at(path, number, "no utterance id in round brackets at the line's end, as trn has it"))
        _require_balanced(path, number, line)
        name = found[1]
        speaker = re.split(r"[-_]", name)[0] if re.search(r"[-_]", name) else None
        yield Line(number, name, Transcript(line[: found.start()], speaker))


def read_stm(path: Path, side: Side) -> Iterator[Line]:
    """The segments that are scored; the id is made of the recording, the channel and the times."""
    for segment in segments(path):
        if segment.scored:
            yield Line(segment.line, segment.id, segment.transcript)


def segments(path: Path) -> list[Segment]:
    """``recording channel speaker begin end [<labels>] words …`` of every line. Segments of the same times are told
    apart by their speakers."""
    found = []
    for number, line in _content(path):
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            problem = "fewer than five fields; a line of stm is: recording channel speaker begin end [<labels>] words"
            raise UserError(at(path, number, problem))
        recording, channel, speaker, *times = fields[:5]
        begin, end = (_seconds(path, number, text) for text in times)
        words = fields[5] if len(fields) > 5 else ""
        _require_balanced(path, number, words)
        if words.startswith("<") and ">" in words:
            words = words.partition(">")[2]
        scored = words.strip().upper() != IGNORED
        name = f"{recording}-{channel}-{begin:.3f}-{end:.3f}"
        transcript = Transcript(words if scored else "", speaker)
        found.append(Segment(number, name, (recording, channel), begin, end, transcript, scored))
    often = Counter(segment.id for segment in found)
    return [replace(part, id=f"{part.id}-{part.transcript.speaker}") if often[part.id] > 1 else part for part in found]


def read_ctm(path: Path) -> dict[tuple[str, str], list[Word]]:
    """``recording channel begin duration word [confidence]``: the words of each recording's channel, by time."""
    found: defaultdict[tuple[str, str], list[Word]] = defaultdict(list)
    for number, line in _content(path):
        fields = line.split()
        if len(fields) not in (5, 6):
            problem = "not five or six fields; a line of ctm is: recording channel begin duration word [confidence]"
            raise UserError(at(path, number, problem))
        begin, duration = (_seconds(path, number, text) for text in fields[2:4])
        if fields[4] != "@":
            found[fields[0], fields[1]].append(Word(fields[4], begin + duration / 2))
    return {channel: sorted(words, key=lambda word: word.middle) for channel, words in found.items()}


def read_timed(references: Path, hypotheses: Path) -> tuple[Iterator[Line], Iterator[Line]]:
    """The segments of an stm file that are scored, and the words of a ctm file, each in the segment that its middle
    falls into; of several that overlap, the one that began last.

    Raises `UserError` for a recording of which the references have no segment. Words between segments are not scored,
    and said.
    """
    places = segments(references)
    known = {segment.channel for segment in places}
    heard = read_ctm(hypotheses)
    strange = sorted(set(heard) - known)
    if strange:
        name = " ".join(strange[0])
        raise UserError(f"{hypotheses}: recording and channel {name!r} are in no segment of {references}")
    by_channel: defaultdict[tuple[str, str], list[Segment]] = defaultdict(list)
    for segment in places:
        by_channel[segment.channel].append(segment)
    words: dict[str, list[str]] = {segment.id: [] for segment in places}
    outside = 0
    for channel, found in heard.items():
        waiting = sorted(by_channel[channel], key=lambda segment: segment.begin)[::-1]
        begun: list[Segment] = []  # and perhaps not ended, the last to begin last
        for word in found:
            while waiting and waiting[-1].begin <= word.middle:
                begun.append(waiting.pop())
            while begun and begun[-1].end < word.middle:  # words come by time: no later one falls into it
                begun.pop()
            if begun:
                words[begun[-1].id].append(word.text)
            else:
                outside += 1
    if outside:
        say(f"{hypotheses}: words that lie in no segment of {references} and are not scored: {outside}")
    scored = [segment for segment in places if segment.scored]
    return (
        (Line(segment.line, segment.id, segment.transcript) for segment in scored),
        (Line(segment.line, segment.id, Transcript(" ".join(words[segment.id]))) for segment in scored),
    )


def nearest(reference: str, hypothesis: str, normalise: Callable[[str], str] = bare) -> str:
    """The words of a reference, of its alternations those that leave the fewest errors; of equals the first.

    Readings are compared as ``normalise`` leaves them, by default without case and punctuation. All combinations are
    tried of up to `COMBINED` alternations, of more one after the other from the left.

    >>> nearest("i've { um / uh / @ } seen it", "i've uh seen it")
    "i've uh seen it"
    """
    heard = normalise(hypothesis).split()

    def errors(text: str) -> int:
        return distance(normalise(leftmost(text)).split(), heard)

    while (found := _choices(reference)) is not None:
        if reference.count("{") <= COMBINED:
            while any(_ALTERNATION.search(text) for text in found):
                found = [choice for text in found for choice in _choices(text) or [text]]
        reference = min(found, key=errors)
    return _words(reference)


def leftmost(reference: str) -> str:
    """The words of a reference, of each of its alternations the first.

    >>> leftmost("{ dr / doctor } who { is / 's { it / he } } there")
    'dr who is there'
    """
    while _ALTERNATION.search(reference):
        reference = _ALTERNATION.sub(lambda found: found[1].split("/")[0], reference)
    return _words(reference)


def _choices(text: str) -> list[str] | None:
    """A text with the first innermost alternation settled, once in each way; None where there is no alternation."""
    found = _ALTERNATION.search(text)
    if found is None:
        return None
    return [f"{text[: found.start()]} {choice} {text[found.end() :]}" for choice in found[1].split("/")]


def _content(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line.strip()) for number, line in read_lines(path) if not line.lstrip().startswith(";;"))


def _require_balanced(path: Path, number: int, text: str) -> None:
    """Raise `UserError` for a curly bracket without its other half: nobody can say what the choice is."""
    left = text
    while (settled := _ALTERNATION.sub("", left)) != left:
        left = settled
    if stray := re.search(r"[{}]", left):
        other = {"{": "}", "}": "{"}[stray[0]]
        problem = f"a {stray[0]!r} without its {other!r}; alternations are written {{ one / other }}"
        raise UserError(at(path, number, problem))


def _words(text: str) -> str:
    return " ".join(word for word in text.split() if word != "@")


def _seconds(path: Path, number: int, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UserError(at(path, number, f"{text!r} is no time in seconds"))
    return seconds
