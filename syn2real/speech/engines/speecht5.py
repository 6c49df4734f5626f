"""SpeechT5: one English model, as many speakers as there are x-vectors (arXiv 2110.07205, with HiFi-GAN)."""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import NotInstalled, UserError
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
    require_source,
)
from syn2real.speech.engines.xvectors import EVERY, SpeakerVectors

SAMPLE_RATE = 16_000  # Hz, of SpeechT5's vocoder
MODEL = "microsoft/speecht5_tts"
VOCODER = "microsoft/speecht5_hifigan"
XVECTORS, ARCHIVE = "Matthijs/cmu-arctic-xvectors", "spkrec-xvect.zip"  # 7,931 of seven speakers
TERMS = Terms("MIT", True)
_PLAIN = str.maketrans("‘’“”–—…", "''\"\"--.")  # typographic signs that its alphabet lacks


class SpeechT5Options(ModelOptions):
    """The vocoder, and the speakers."""

    vocoder: str | None = None  # a directory, or a hub id
    xvectors: str | None = None  # .npz, .safetensors, .zip of .npy, or a folder of .npy; by default CMU Arctic's


@ENGINES.register("speecht5")
class SpeechT5(PretrainedEngine):
    """SpeechT5 by transformers. The voice ``random`` takes an x-vector drawn by the seed, another one for every
    utterance; ``speecht5:NAME`` one of that name, ``speecht5:*_slt_*`` any whose name fits. Rate and pitch change
    nothing: the model has neither, and the x-vectors vary both."""

    name = "speecht5"
    effort = 4.0
    licence = "MIT"
    memory = 2e9
    options: SpeechT5Options = SpeechT5Options()

    def require(self) -> None:
        """Raise `NotInstalled` without transformers or sentencepiece, `UserError` for paths that are none."""
        super().require()
        if find_spec("sentencepiece") is None:
            raise NotInstalled("sentencepiece, which speecht5 spells with,", "speecht5")
        if self.options.vocoder is not None:
            require_source(self.name, "vocoder", self.options.vocoder)
        if self.options.xvectors is not None and not Path(self.options.xvectors).exists():
            raise UserError(f"engine {self.name!r}: xvectors {self.options.xvectors}: no such file or folder")

    def all_voices(self) -> list[Voice]:
        """`random`, which stands for all speakers."""
        self.require()
        return [self._voice(EVERY)]

    def voice(self, name: str) -> Voice:
        """`random`, an x-vector's name, or a pattern of names. Raises `UserError` when none fits a local file."""
        self.require()
        if self.options.xvectors is not None and not self._vectors.matching(name):
            names = self._vectors.names
            raise UserError(f"{self.options.xvectors}: has no speaker {name!r}; it has {', '.join(names[:5])}, …")
        return self._voice(name)

    def prepare(self, voices: Sequence[Voice]) -> None:
        """Fetch model, vocoder and x-vectors. Raises `UserError`."""
        for source in (self._model_source, self._vocoder_source):
            fetch(self.name, source)
        for voice in voices:
            if not self._vectors.matching(voice.name):
                raise UserError(f"{self._vectors.path}: has no speaker {voice.name!r}")

    def to_fetch(self, voices: Sequence[Voice]) -> list[str]:
        """Model, vocoder and x-vectors, unless they are here."""
        absent = [source for source in (self._model_source, self._vocoder_source) if not is_here(source)]
        vectors = self.options.xvectors is not None or is_here(XVECTORS, ARCHIVE, "dataset")
        return absent if vectors else [*absent, XVECTORS]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 16 kHz. Raises `UserError` for characters the model cannot spell, and for too long a text."""
        import torch

        tokenizer, model, vocoder, device = self._parts
        plain = text.translate(_PLAIN)
        ids = tokenizer(plain, normalize=True, return_tensors="pt").input_ids
        if (ids == tokenizer.unk_token_id).any():
            known = set(tokenizer.get_vocab())
            strange = sorted({c for c in tokenizer.normalizer(plain) if c not in known and not c.isspace()})
            raise UserError(f"speecht5: cannot speak {text[:60]!r}: it has no sign for {' '.join(strange)}")
        longest = model.config.max_text_positions
        if ids.shape[1] > longest:
            raise UserError(f"speecht5: {text[:60]!r} has {ids.shape[1]} characters of at most {longest}; split it")
        speaker = self._vectors.draw(voice.name, seed, model.config.speaker_embedding_dim)
        with drawing(seed):  # the decoder's pre-net keeps its dropout when it speaks
            embedding = torch.from_numpy(speaker)[None].to(device)
            samples = model.generate_speech(ids.to(device), embedding, vocoder=vocoder)
        return within_range(samples.cpu().numpy()), SAMPLE_RATE

    def _voice(self, name: str) -> Voice:
        terms = Terms.of(self.options, TERMS if self.options.model in (None, MODEL) else None)
        language = self.options.language or "en"
        return Voice(
            self.name,
            name,
            language,
            language if self.options.language else "en-US",
            SAMPLE_RATE,
            terms.licence,
            terms.commercial_ok,
            options=self.given,
        )

    @property
    def _model_source(self) -> str:
        return self.options.model or MODEL

    @property
    def _vocoder_source(self) -> str:
        return self.options.vocoder or VOCODER

    @cached_property
    def _vectors(self) -> SpeakerVectors:
        return SpeakerVectors(Path(self.options.xvectors) if self.options.xvectors else _cmu_arctic())

    @cached_property
    def _parts(self) -> tuple[Any, Any, Any, str]:
        from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5Tokenizer

        directory = fetch(self.name, self._model_source)
        device = device_of(self.options)
        model = load_model(SpeechT5ForTextToSpeech, directory, device)
        vocoder = load_model(SpeechT5HifiGan, fetch(self.name, self._vocoder_source), device)
        if vocoder.config.sampling_rate != SAMPLE_RATE:
            raise UserError(f"{self._vocoder_source}: is a vocoder at {vocoder.config.sampling_rate} Hz, not 16,000")
        return load(SpeechT5Tokenizer.from_pretrained, directory), model, vocoder, device


def _cmu_arctic() -> Path:
    """The x-vectors of CMU Arctic's speakers, fetched once."""
    remedy = "; give a file: option speecht5.xvectors"
    return fetch_file(SpeechT5.name, XVECTORS, XVECTORS, ARCHIVE, kind="dataset", remedy=remedy)
