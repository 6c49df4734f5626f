"""The round trip: text → voice → recogniser → text, and whose fault it is when the two texts differ.

A recogniser mishears rare words, and rare words are what a new domain is made of: the clips it mishears are those most
worth training on. So a clip is not held to its own character error rate but to how much worse it was heard than the
same sentence in other voices. What every voice is misheard in, the recogniser does not know; what one voice alone is
misheard in, that voice said badly.

    beyond = (errors − slack) / characters, at least 0          of each clip
    expected = the median of `beyond` over other voices' clips of the sentence
    rejected: beyond − expected > reject        or, where no other voice speaks the sentence, beyond > alone
    flagged:  errors / characters > flag, and not rejected

Nothing but a sentence's own clips decides, so that any split of a corpus by sentences gives the same verdicts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from syn2real.speech.checking.findings import Finding
from syn2real.speech.checking.limits import DEFAULTS, HearingLimits


@dataclass(frozen=True)
class Heard:
    """How one clip was heard: character errors against its text, both normalised."""

    id: str
    sentence: str  # equal for clips of the same sentence
    voice: str
    errors: int
    characters: int  # of the text

    @property
    def cer(self) -> float:
        """Errors a character; may exceed 1. Of a text that has none after normalisation, 0."""
        return self.errors / self.characters if self.characters else 0.0

    def beyond(self, slack: float) -> float:
        """The same with ``slack`` errors forgiven."""
        return max(0.0, self.errors - slack) / self.characters if self.characters else 0.0


@dataclass(frozen=True)
class Verdict:
    """What the round trip says of a clip: nothing, a reason to reject it, or one to look at it."""

    rejected: Finding | None = None
    flagged: Finding | None = None


def judge_hearing(clips: Iterable[Heard], limits: HearingLimits = DEFAULTS.hearing) -> dict[str, Verdict]:
    """A verdict on every clip, by id.

    >>> clips = [Heard(voice, "s", voice, errors, 40) for voice, errors in (("a", 2), ("b", 3), ("c", 38))]
    >>> [name for name, verdict in judge_hearing(clips).items() if verdict.rejected]
    ['c']
    >>> clips = [Heard(voice, "s", voice, errors, 40) for voice, errors in (("a", 31), ("b", 35), ("c", 38))]
    >>> [name for name, verdict in judge_hearing(clips).items() if verdict.rejected]
    []
    """
    sentences: defaultdict[str, list[Heard]] = defaultdict(list)
    clips = list(clips)
    for clip in clips:
        sentences[clip.sentence].append(clip)
    verdicts = {}
    for clip in clips:
        verdicts[clip.id] = judge_clip(clip, sentences[clip.sentence], limits)
    return verdicts


def judge_clip(clip: Heard, sentence: Iterable[Heard], limits: HearingLimits = DEFAULTS.hearing) -> Verdict:
    """A verdict on one clip, beside those of ``sentence`` that another voice speaks."""
    others = [other for other in sentence if other.voice != clip.voice]
    expected = median(other.beyond(limits.slack) for other in others) if others else 0.0
    limit = limits.reject if others else limits.alone
    if clip.beyond(limits.slack) - expected > limit:
        return Verdict(rejected=Finding("misheard", clip.cer, expected + limit + limits.slack / clip.characters))
    if clip.cer <= limits.flag:
        return Verdict()
    theirs = median(other.cer for other in others) if others else 0.0
    if theirs > limits.flag:
        return Verdict(flagged=Finding("misheard alike", clip.cer, theirs))
    return Verdict(flagged=Finding("misheard", clip.cer, limits.flag))
