"""What is to be spoken: every sentence with its voices, and all that is drawn for each.

What is drawn for a rendition depends on the seed, the sentence's id and the rendition's number only, so that any
subset of the sentences, in any order and on any number of workers, gives the same files.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from syn2real.hashing import seed_from, sha256_json
from syn2real.speech.corpus import Sentence
from syn2real.speech.engines import Voice
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.settings import SynthesisSettings

MARGIN = (0.10, 0.20)  # s of silence before and after the speech


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

    @property
    def id(self) -> str:
        """The utterance's id."""
        return f"{self.sentence.id}-r{self.number}"

    @property
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
            yield Rendition(
                sentence=sentence,
                number=number,
                voice=voice,
                rate=round(random.uniform(*settings.rate_range), 3),
                pitch=round(random.uniform(*settings.pitch_range), 3),
                level=round(random.uniform(*settings.level_range), 1),
                margins=(random.uniform(*MARGIN), random.uniform(*MARGIN)),
                seed=seed,
            )
