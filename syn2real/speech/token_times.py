"""From Whisper's tokens to segments and words with times.

Between the words it writes tokens for times in steps of 20 ms, as in ``<|0.00|> Hello.<|1.20|>``, up to ``<|30.00|>``.
Words are timed by how cross-attention moves over the audio (dynamic time warping, as in Whisper's own release).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import floor
from statistics import median

from syn2real.speech.listening import Span

STEP = 0.02  # s between two time tokens, and between two encoder positions
USUAL = 0.7  # s: a usual word is at most that long
# Languages written without spaces, of which every sign that decodes by itself counts as a word.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})
ENDS, CLOSING = tuple(".?!…。？！।؟"), "\"'”’»)」"

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Decoding:
    """Tokens that a decoder wrote after its prompt, without the end token. ``times``: begin and end (s) of each, where
    words are timed."""

    tokens: Sequence[int]
    times: Sequence[tuple[float, float]] | None = None


def text_tokens(tokens: Sequence[int], zero: int) -> list[int]:
    """The tokens that are no times; ``zero`` is the id of ``<|0.00|>``, and all above are times."""
    return [token for token in tokens if token < zero]


def unheard_from(tokens: Sequence[int], zero: int) -> float | None:
    """From where (s) a window must be heard again, because its last sentence was cut off: the tokens then end in the
    time at which the last whole one ended, twice. None where all was heard.

    >>> unheard_from([50, 7, 60, 60], zero=50)
    0.2
    >>> unheard_from([50, 7, 60], zero=50)
    """
    if len(tokens) >= 3 and tokens[-1] >= zero and tokens[-2] >= zero:
        return round((tokens[-1] - zero) * STEP, 2)
    return None


def segments(decoding: Decoding, zero: int, length: float, decode: Decode) -> list[Span]:
    """The stretches between time tokens, within a clip of ``length`` seconds.

    >>> segments(Decoding([50, 7, 60, 60, 8]), 50, 1.0, lambda tokens: f"w{tokens[0]}")
    [Span(begin=0.0, end=0.2, text='w7'), Span(begin=0.2, end=1.0, text='w8')]
    """
    found: list[Span] = []
    begin, words = 0.0, []
    for token in decoding.tokens:
        if token < zero:
            words.append(token)
            continue
        time = (token - zero) * STEP
        if words:
            found.append(_span(begin, time, length, decode(words)))
            words = []
        begin = time
    if words:
        found.append(_span(begin, length, length, decode(words)))
    return [span for span in found if span.text]


def words(decoding: Decoding, zero: int, length: float, decode: Decode, language: str | None) -> list[Span]:
    """The words with their punctuation, each from its first token's begin to its last one's end."""
    assert decoding.times is not None
    timed = [(token, *times) for token, times in zip(decoding.tokens, decoding.times, strict=True) if token < zero]
    found: list[Span] = []
    spoken: list[float] = []  # of each word, when its last token that is no sign ends
    pending: list[tuple[int, float, float]] = []  # tokens that only together are characters
    for item in timed:
        pending.append(item)
        text = decode([token for token, _, _ in pending])
        if "\ufffd" in text and len(pending) < 4:  # the first bytes of a character
            continue
        begin, end = pending[0][1], pending[-1][2]
        pending = []
        apart = text.startswith(" ") or language in UNSPACED
        written = any(map(str.isalnum, text))
        if found and not (apart and written):
            found[-1] = Span(found[-1].begin, end, found[-1].text + text)
            spoken[-1] = end if written else spoken[-1]
        else:
            found.append(Span(begin, end, text))
            spoken.append(end)
    kept = [
        (_span(span.begin, span.end, length, span.text), last)
        for span, last in zip(found, spoken, strict=True)
        if span.text.strip()
    ]
    return _trimmed(kept)


def token_times(starts: Sequence[float], tokens: int, end: float) -> list[tuple[float, float]]:
    """Begin and end of each of so many tokens, from the moments at which attention moved to them."""
    moments = [*starts[: tokens + 1], *[end] * (tokens + 1 - len(starts))]
    return list(pairwise(moments))


def _trimmed(found: list[tuple[Span, float]]) -> list[Span]:
    """Attention rests on the silence before a sentence's first word and after its last; neither is longer than twice
    the usual word. Of a word that is both, the signs have the silence after it: it ends where they begin."""
    longest = 2 * min(USUAL, median(span.end - span.begin for span, _ in found)) if found else 0.0
    trimmed = []
    before = None
    for place, (span, spoken) in enumerate(found):
        first, ends = before is None or _ends(before), _ends(span)
        before = span
        if first and ends and span.end - span.begin > longest:
            span = replace(span, end=min(span.end, max(span.begin, round(spoken, 3))))
            span = replace(span, begin=_later(span, longest))
        elif place == 0:
            span = replace(span, begin=_later(span, longest))
        elif place == len(found) - 1 or ends:
            span = replace(span, end=round(min(span.end, span.begin + longest), 3))
        elif first:
            span = replace(span, begin=_later(span, longest))
        trimmed.append(span)
    return trimmed


def _later(span: Span, longest: float) -> float:
    """When a span begins that is at most ``longest`` seconds and keeps its end."""
    return round(max(span.begin, span.end - longest), 3)


def _ends(word: Span) -> bool:
    """Whether a sentence ends with it."""
    return word.text.rstrip(CLOSING).endswith(ENDS)


def _span(begin: float, end: float, length: float, text: str) -> Span:
    """Within the clip, to the millisecond: attention and time tokens may lie in the padding behind it."""
    last = floor(1_000 * length + 1e-6) / 1_000
    begin = min(round(begin, 3), last)
    return Span(begin, min(max(begin, round(end, 3)), last), text.strip())
