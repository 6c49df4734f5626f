"""The voices that a synthesis draws from."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from random import Random

from syn2real.errors import UserError
from syn2real.speech.engines import Voice, engine, find_voice
from syn2real.speech.synthesis.settings import SynthesisSettings


@dataclass(frozen=True)
class Cast:
    """The voices to draw from, by engine, with the engines' weights."""

    weights: dict[str, float]
    voices: dict[str, tuple[Voice, ...]]

    @classmethod
    def choose(cls, settings: SynthesisSettings) -> "Cast":
        """The voices that fit the settings. Raises `UserError` for an engine or voice unknown or unfit."""
        if settings.voices:
            named = [find_voice(name, settings.options) for name in dict.fromkeys(settings.voices)]
            for voice in named:
                if voice.language != settings.language:
                    raise UserError(f"voice {voice.id} speaks {voice.language!r}, not {settings.language!r}")
            engines = dict.fromkeys(voice.engine for voice in named)
            candidates = {name: [voice for voice in named if voice.engine == name] for name in engines}
        else:
            candidates = {
                name: engine(name, settings.options.get(name)).voices(settings.language) for name in settings.weights
            }
        for name, voices in candidates.items():
            if not voices:
                raise UserError(f"engine {name!r} has no voice for {settings.language!r}; see `syn2real voices`")
            if settings.commercial_only and not any(voice.commercial_ok for voice in voices):
                licences = ", ".join(sorted({voice.licence for voice in voices}))
                raise UserError(f"engine {name!r} has no voice free for commercial use (licences: {licences})")
        free = {
            name: tuple(v for v in voices if v.commercial_ok or not settings.commercial_only)
            for name, voices in candidates.items()
        }
        return cls({name: settings.weights.get(name, 1.0) for name in free}, free)

    def draw(self, random: Random, used: Set[str]) -> Voice:
        """A voice not in ``used``: an engine by weight among those with voices left, then a voice uniformly."""
        return self.draw_other(random, used) or self._draw(random, self.voices)

    def draw_other(self, random: Random, used: Set[str]) -> Voice | None:
        """The same, or None when all are in ``used``."""
        left = self.voices
        if used:
            left = {name: tuple(v for v in voices if v.id not in used) for name, voices in self.voices.items()}
            left = {name: voices for name, voices in left.items() if voices}
        return self._draw(random, left) if left else None

    def _draw(self, random: Random, left: Mapping[str, Sequence[Voice]]) -> Voice:
        point = random.random() * sum(self.weights[name] for name in left)
        for name in left:
            point -= self.weights[name]
            if point < 0:
                break
        return left[name][int(random.random() * len(left[name]))]
