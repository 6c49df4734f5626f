"""What is to be spoken: every sentence with its voices, and all that is drawn for each.

What is drawn for a rendition depends on the seed, the sentence's id and the rendition's number only, so that any
subset of the sentences, in any order and on any number of workers, gives the same files.
"""

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from random import Random

from syn2real.hashing import seed_from, sha256_json
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import Voice
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.settings import SynthesisSettings

MARGIN = (0.10, 0.20)  # s of silence before and after the speech
ATTEMPTS = 2  # how often a rendition is tried, each time by another voice


@dataclass(frozen=True)
class Rendition:
    """One sentence as one voice is to speak it."""

    sentence: Sentence
    number: int
    voice: Voice
    rate: float
    pitch: float
    level: float  # dBFS RMS
    margins: tuple[float, float]  # s of silence before and after
    seed: int
    attempt: int = 0  # no part of its id or file name: a later attempt takes the place of the one that failed

    @property
    def id(self) -> str:
        """The utterance's id."""
        return f"{self.sentence.id}-r{self.number}"

    @cached_property
    def file_name(self) -> str:
        """A name safe on every file system; ids that are not, or differ in case only, get a hash to stay distinct."""
        name = self.sentence.id
        safe = re.sub(r"[^a-z0-9._-]+", "_", name.lower()).lstrip(".")[:80]
        return f"{safe if safe == name else f'{safe}-{sha256_json(name)[:10]}'}-r{self.number}.flac"


def plan(sentences: Iterable[Sentence], settings: SynthesisSettings, cast: Cast) -> Iterator[Rendition]:
    """Everything that is drawn, for each sentence and rendition in turn."""
    for sentence in sentences:
        used: set[str] = set()
        for number in range(settings.renditions):
            seed = seed_from(settings.seed, sentence.id, number)
            random = Random(seed)
            voice = cast.draw(random, used)
            if settings.distinct:
                used = set() if voice.id in used else used
                used.add(voice.id)
            yield _drawn(sentence, number, voice, settings, random, seed)


def another(first: Rendition, tried: Set[str], settings: SynthesisSettings, cast: Cast) -> Rendition | None:
    """The next attempt at a rendition, by a voice whose id is not among those tried; None when it had them all."""
    attempt = len(tried)
    if attempt >= ATTEMPTS:
        return None
    seed = seed_from(settings.seed, first.sentence.id, first.number, attempt)
    random = Random(seed)
    voice = cast.draw_other(random, tried)
    return _drawn(first.sentence, first.number, voice, settings, random, seed, attempt) if voice is not None else None


def _drawn(
    sentence: Sentence,
    number: int,
    voice: Voice,
    settings: SynthesisSettings,
    random: Random,
    seed: int,
    attempt: int = 0,
) -> Rendition:
    return Rendition(
        sentence=sentence,
        number=number,
        voice=voice,
        rate=round(random.uniform(*settings.rate_range), 3),
        pitch=round(random.uniform(*settings.pitch_range), 3),
        level=round(random.uniform(*settings.level_range), 1),
        margins=(random.uniform(*MARGIN), random.uniform(*MARGIN)),
        seed=seed,
        attempt=attempt,
    )
