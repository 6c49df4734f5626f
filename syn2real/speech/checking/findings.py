"""What a check has to say about one clip."""

from dataclasses import dataclass
from typing import Any

# What is wrong, in words that take the value found and the limit it passed.
_SAYS = {
    "unreadable": "cannot be read",
    "not finite": "{value:.0f} samples are NaN or infinite",
    "silent": "no speech: its loudest 10 ms are at {value:.0f} dBFS (limit {limit:.0f})",
    "offset": "its samples lie off zero by {value:.2f} of their RMS (limit {limit:g})",
    "clipped": "clipped: {value:.1%} of its samples are at the peak (limit {limit:.0%})",
    "pause": "a pause of {value:.1f} s (limit {limit:.1f})",
    "cut off": "cut off: its last 0.5 ms are only {value:.0f} dB below its loud parts (limit {limit:.0f})",
    "hurried": "cut off: it does not die away, and has {value:.3f} s a letter (limit {limit:g})",
    "fast": "too short for its text: {value:.3f} s a letter (limit {limit:g})",
    "slow": "too long for its text: {value:.1f} s (limit {limit:.1f})",
    "misheard": "misheard: CER {value:.0%} (limit {limit:.0%})",
    "misheard alike": "misheard in other voices too: CER {value:.0%}, theirs {limit:.0%}",
    "pace": "its pace is {value:+.1f} robust deviations from its voice's (limit {limit:g})",
    "ending": "it ends {value:+.1f} robust deviations louder than its voice's clips (limit {limit:g})",
}


@dataclass(frozen=True)
class Finding:
    """One thing found: its kind, the value measured, the limit it passed, and a detail where that says more."""

    kind: str
    value: float = 0.0
    limit: float = 0.0
    detail: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _SAYS:
            raise ValueError(f"unknown finding {self.kind!r}")

    def __str__(self) -> str:
        said = _SAYS[self.kind].format(value=self.value, limit=self.limit)
        return f"{said}: {self.detail}" if self.detail else said

    def record(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"kind": self.kind, "value": round(self.value, 4), "limit": round(self.limit, 4), "says": str(self)}
