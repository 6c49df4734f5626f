"""How to transcribe, and what runs the model."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from syn2real.errors import UserError, did_you_mean
from syn2real.speech.listening import Listener, Listening, Times
from syn2real.speech.recogniser import load_recogniser, pick_device

Window = Literal["auto", "short", "full"]
Runtime = Literal["transformers", "ctranslate2"]


@dataclass(frozen=True)
class TranscriptionSettings:
    """How to transcribe. ``window``: ``full`` pads to 30 s as plain transformers does, ``short`` cuts each batch to its
    longest clip, ``auto`` is short for models trained on short windows and full for all others. CTC models have no such
    window, and hear every clip at its own length. ``compute_type`` is CTranslate2's."""

    batch_size: int = 16
    beams: int = 1
    window: Window = "auto"
    prompt: str | None = None
    times: Times | None = None
    runtime: Runtime = "transformers"
    compute_type: str = "float32"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("window", self.window, get_args(Window)),
            ("times", self.times or "segment", get_args(Times)),
            ("runtime", self.runtime, get_args(Runtime)),
        ):
            if value not in known:
                raise UserError(f"unknown {name} {value!r}{did_you_mean(str(value), known)}")
        if self.runtime == "transformers" and self.compute_type != "float32":
            raise UserError(f"compute type {self.compute_type!r} is for CTranslate2; add --runtime ctranslate2")

    def load(self, model: Path, language: str | None) -> Listener:
        """The model in a Hugging Face directory. Raises `UserError` where the runtime cannot run it."""
        if self.runtime == "ctranslate2":
            from syn2real.speech.ctranslate2_whisper import CTranslate2Whisper

            return CTranslate2Whisper.load(model, language, self.compute_type, pick_device())
        recogniser = load_recogniser(model, language, pick_device())
        recogniser.model.eval()
        return recogniser

    def listening(self, listener: Listener) -> Listening:
        """What a listener is asked for."""
        short = listener.short_windows if self.window == "auto" else self.window == "short"
        return Listening(short, self.beams, self.prompt, self.times)

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that are not as usual: what a hypothesis depends on beside recording and model."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


DEFAULTS = TranscriptionSettings()
