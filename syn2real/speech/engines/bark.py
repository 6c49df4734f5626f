"""Bark: generates a speaker along with the words, another one for every seed, or keeps to a preset (13 languages)."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import UserError, did_you_mean
from syn2real.speech.engines.base import ENGINES, Voice, within_range
from syn2real.speech.engines.pretrained import (
    ModelOptions,
    PretrainedEngine,
    Terms,
    device_of,
    drawing,
    fetch,
    fetch_file,
    is_here,
    load,
    load_model,
)

SAMPLE_RATE = 24_000  # Hz, of Bark's codec
MODEL = "suno/bark"
TERMS = {name: Terms("MIT", True) for name in (MODEL, "suno/bark-small")}
LANGUAGES = ("de", "en", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh")
PRESETS = tuple(f"v2/{language}_speaker_{number}" for language in LANGUAGES for number in range(10))
_PARTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")


class BarkOptions(ModelOptions):
    """Whether presets speak when no voice is named."""

    presets: bool = False


@ENGINES.register("bark")
class Bark(PretrainedEngine):
    """Bark by transformers. The voice named by a language (``bark:en``) has no preset: the seed makes up a speaker for
    every utterance. Presets are named as Bark names them (``bark:v2/en_speaker_3``). Rate and pitch change nothing."""

    name = "bark"
    effort = 60.0
    licence = "MIT"
    memory = 8e9
    options: BarkOptions = BarkOptions()

    def all_voices(self) -> list[Voice]:
        """One voice a language, or with the option ``presets`` the ten presets of each."""
        self.require()
        return [self._voice(name) for name in (PRESETS if self.options.presets else LANGUAGES)]

    def voice(self, name: str) -> Voice:
        """A language or a preset, by name."""
        self.require()
        if name not in (*LANGUAGES, *PRESETS):
            known = PRESETS if "_speaker_" in name else LANGUAGES
            raise UserError(f"engine 'bark' has no voice {name!r}{did_you_mean(name, known)[:200]}")
        return self._voice(name)

    def prepare(self, voices: Sequence[Voice]) -> None:
        """Fetch the model and the presets of these voices. Raises `UserError`."""
        fetch(self.name, self._source)
        for voice in voices:
            self._preset(voice.name)

    def to_fetch(self, voices: Sequence[Voice]) -> list[str]:
        """The model, unless it is here."""
        return [] if is_here(self._source) else [self._source]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 24 kHz. Raises `UserError` for a text of more tokens than Bark reads."""
        import torch

        tokenizer, model, device = self._parts
        longest = model.generation_config.semantic_config["max_input_semantic_length"]
        count = len(tokenizer(text, add_special_tokens=False).input_ids)
        if count > longest:
            raise UserError(f"bark: {text[:60]!r} has {count} tokens of at most {longest}; split it")
        read = tokenizer(
            text, add_special_tokens=False, padding="max_length", max_length=longest, return_tensors="pt"
        ).to(device)
        preset = self._preset(voice.name)
        history = None if preset is None else {part: torch.as_tensor(a, device=device) for part, a in preset.items()}
        with drawing(seed):
            samples = model.generate(read.input_ids, attention_mask=read.attention_mask, history_prompt=history)
        return within_range(samples.reshape(-1).cpu().numpy()), SAMPLE_RATE

    def _voice(self, name: str) -> Voice:
        language = name if name in LANGUAGES else name[3:5]
        terms = Terms.of(self.options, TERMS.get(self._source))
        rights = (terms.licence, terms.commercial_ok)
        return Voice(self.name, name, language, language, SAMPLE_RATE, *rights, options=self.given)

    @property
    def _source(self) -> str:
        return self.options.model or MODEL

    @cached_property
    def _parts(self) -> tuple[Any, Any, str]:
        from transformers import AutoTokenizer, BarkModel

        directory = fetch(self.name, self._source)
        device = device_of(self.options)
        model = load_model(BarkModel, directory, device)
        if model.generation_config.sample_rate != SAMPLE_RATE:
            raise UserError(f"{directory}: speaks at {model.generation_config.sample_rate} Hz, not 24,000")
        for part in (model.semantic, model.coarse_acoustics):
            part.generation_config.pad_token_id = 0  # else it announces its choice at every sentence
        return load(AutoTokenizer.from_pretrained, directory), model, device

    def _preset(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a preset; None for a voice that has none."""
        return None if name in LANGUAGES else {part: self._preset_part(f"{name}_{part}.npy") for part in _PARTS}

    def _preset_part(self, file: str) -> np.ndarray:
        place = Path(self._source)
        if place.is_dir():
            path = place / "speaker_embeddings" / file
        else:
            path = fetch_file(self.name, f"preset {file} of {self._source}", self._source, f"speaker_embeddings/{file}")
        try:
            return np.load(path, allow_pickle=False).astype(np.int64)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: the preset cannot be read ({error}); fetch the model's speaker_embeddings"
            ) from error
