"""Who speaks, and how varied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syn2real.errors import UserError
from syn2real.speech.engines import Options
from syn2real.speech.verbalisation import Label, Style, TextRule


@dataclass(frozen=True)
class SynthesisSettings:
    """Who speaks, and how varied.

    ``engines`` are names, or names with weights; an engine is drawn by weight, then one of its voices of the language
    uniformly. ``voices`` (``engine:voice``) restricts the choice to these. ``options`` are the engines' own, by engine
    (a model's directory, a server's address). ``rate_range`` and ``pitch_range`` are factors. ``level_range`` is the
    RMS of a clip in dBFS: engines differ by 15 dB, by which a model could tell them apart, and each is constant, as
    microphones in rooms are not; so every clip's level is drawn anew. ``verbalise``, ``label`` and ``style`` say how
    the text is spoken and labelled; see `syn2real.speech.verbalisation.TextRule`.
    """

    engines: Sequence[str] | Mapping[str, float] = ("espeak",)
    language: str = "en"  # ISO 639-1
    voices: tuple[str, ...] = ()
    options: Options = field(default_factory=dict)
    renditions: int = 1  # of each sentence
    distinct: bool = True  # renditions of a sentence differ in voice, while there are voices left
    rate_range: tuple[float, float] = (0.85, 1.2)
    pitch_range: tuple[float, float] = (0.8, 1.25)
    level_range: tuple[float, float] = (-28.0, -20.0)
    commercial_only: bool = False
    seed: int = 0
    verbalise: bool = True
    label: Label = "spoken"
    style: Style = "plain"

    def __post_init__(self) -> None:
        self.text_rule  # noqa: B018 - refuses what it does not know
        if self.renditions < 1:
            raise UserError(f"renditions must be 1 or more, not {self.renditions}")
        for name, bottom, top in (("rate_range", 0.4, 2.5), ("pitch_range", 0.4, 2.5), ("level_range", -60, 0)):
            low, high = getattr(self, name)
            if not bottom <= low <= high <= top:
                raise UserError(f"{name} must be (low, high) within {bottom:g} and {top:g}, not ({low:g}, {high:g})")
        if not self.weights:
            raise UserError("name at least one engine")
        for name, weight in self.weights.items():
            if not 0 < weight < float("inf"):
                raise UserError(f"the weight of engine {name!r} must be above 0, not {weight:g}")

    @property
    def text_rule(self) -> TextRule:
        """How the text is spoken and labelled."""
        return TextRule(self.language, self.verbalise, self.label, self.style)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each engine, in the order given."""
        if isinstance(self.engines, Mapping):
            return dict(self.engines)
        return dict.fromkeys([self.engines] if isinstance(self.engines, str) else self.engines, 1.0)
