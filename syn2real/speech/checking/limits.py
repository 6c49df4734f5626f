"""The limits a clip is held to. `docs/checking.md` says on which voices they were found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from syn2real.errors import UserError, did_you_mean

_LEVELS = {"silence", "ending", "step"}  # in dB, of any sign; all other limits are above 0


def _require_sensible(limits: "SignalLimits | HearingLimits | VoiceLimits") -> None:
    for field in fields(limits):
        value = getattr(limits, field.name)
        if not (math.isfinite(value) and (value > 0 or field.name in _LEVELS)):
            raise UserError(f"{field.name} must be a number above 0, not {value:g}")


@dataclass(frozen=True)
class SignalLimits:
    """What rejects a clip by its samples and text alone; of good clips, fewer than one in a thousand."""

    silence: float = -60.0  # dBFS RMS of the loudest 10 ms: below, nothing is spoken
    offset: float = 0.95  # |mean| / RMS of the samples
    plateaus: float = 0.01  # share of samples in runs of 4 or more within 0.5 % of the peak
    near_peak: float = 0.2  # share of samples above 0.7 of the peak, for clipping that was resampled since
    pause: float = 2.0  # s without speech between the first and the last sound
    fast: float = 0.025  # s of speech a letter; below, something is missing
    slow: float = 0.2  # s a letter beside `allowance`; above, something is added
    allowance: float = 1.5  # s that any text may take beside its letters
    ending: float = -25.0  # dB against the clip's loud frames: last 10 ms above have not died away, and are a cut …
    step: float = -12.0  # … where the last 0.5 ms are above this, in dB against the same
    hurried: float = 0.04  # … or where there is less speech a letter than this, in s

    def __post_init__(self) -> None:
        _require_sensible(self)


@dataclass(frozen=True)
class HearingLimits:
    """What rejects or flags a clip by how a recogniser misheard it. Rates are CERs, in characters a character."""

    reject: float = 0.3  # CER beyond what other voices' clips of the sentence have, `slack` forgiven
    alone: float = 0.5  # the same where no other voice speaks the sentence
    flag: float = 0.3  # CER as it is
    slack: float = 6.0  # characters forgiven in every clip, so that one strange word does not sink a short text

    def __post_init__(self) -> None:
        _require_sensible(self)


@dataclass(frozen=True)
class VoiceLimits:
    """What flags a clip as unlike the others of its voice."""

    deviations: float = 6.0  # robust standard deviations (median absolute deviation × 1.4826) from the median
    clips: int = 20  # that a voice must have; where it has fewer, all clips of its engine stand in

    def __post_init__(self) -> None:
        _require_sensible(self)


@dataclass(frozen=True)
class Limits:
    """All limits of a check.

    People pause and draw out words as no engine does, compress what they record and cut it by hand: `recorded` is for
    real speech.
    """

    signal: SignalLimits = SignalLimits()
    recorded: SignalLimits = SignalLimits(pause=5.0, slow=0.8, near_peak=0.3, step=60.0)  # no cut is told by its step
    hearing: HearingLimits = HearingLimits()
    voice: VoiceLimits = VoiceLimits()

    @classmethod
    def of(cls, values: Mapping[str, float]) -> "Limits":
        """The defaults but for ``values``, by a limit's name, such as ``{"pause": 4.0}``. Raises `UserError` for a name
        that is none and a value that makes no sense."""
        parts: dict[str, Any] = {part.name: part.default for part in fields(cls)}
        known = {name: {field.name for field in fields(part)} for name, part in parts.items()}
        for name, value in values.items():
            places = [part for part, names in known.items() if name in names]
            if not places:
                raise UserError(f"unknown limit {name!r}{did_you_mean(name, set().union(*known.values()))}")
            parts |= {part: replace(parts[part], **{name: value}) for part in places}
        return cls(**parts)

    def of_source(self, source: str) -> SignalLimits:
        """The limits of ``real`` or ``synthetic`` speech."""
        return self.recorded if source == "real" else self.signal


DEFAULTS = Limits()
