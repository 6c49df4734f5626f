"""VITS by transformers: English models of one and of 109 speakers, and Meta's MMS voices, one a language
(arXiv 2106.06103, 2305.13516)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.speech.engines.base import ENGINES, Voice, within_range
from syn2real.speech.engines.pretrained import (
    PretrainedEngine,
    Terms,
    device_of,
    drawing,
    fetch,
    is_here,
    load,
    load_model,
)
from syn2real.speech.engines.resampling import change_voice, speed_before

_MIT, _NC = Terms("MIT", True), Terms("CC BY-NC 4.0", False)
VCTK, LJ = "kakao-enterprise/vits-vctk", "kakao-enterprise/vits-ljs"
# ISO 639-1 to the code by which MMS calls the language, for those whose letters its models read as they are.
MMS = {
    "bg": "bul", "bn": "ben", "ca": "cat", "cy": "cym", "de": "deu", "el": "ell", "en": "eng", "es": "spa",
    "fi": "fin", "fr": "fra", "gu": "guj", "hi": "hin", "hu": "hun", "id": "ind", "is": "isl", "kk": "kaz",
    "kn": "kan", "lv": "lav", "ml": "mal", "mr": "mar", "ms": "zlm", "nl": "nld", "pa": "pan", "pl": "pol",
    "pt": "por", "ro": "ron", "ru": "rus", "sv": "swe", "sw": "swh", "ta": "tam", "te": "tel", "tl": "tgl",
    "tr": "tur", "uk": "ukr", "vi": "vie", "yo": "yor",
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A VITS model before it is loaded."""

    source: str
    language: str
    locale: str
    rate: int  # Hz
    speakers: int
    terms: Terms


def _mms(language: str) -> Model:
    return Model(f"facebook/mms-tts-{MMS[language]}", language, language, 16_000, 1, _NC)


KNOWN = {
    "vctk": Model(VCTK, "en", "en-GB", 22_050, 109, _MIT),
    "ljs": Model(LJ, "en", "en-US", 22_050, 1, _MIT),
    **{f"mms-{code}": _mms(language) for language, code in MMS.items()},
}


@ENGINES.register("vits")
class Vits(PretrainedEngine):
    """VITS. Without options its voices are ``vctk-0`` to ``vctk-108``, ``ljs``, and ``mms-eng``, ``mms-spa`` and so on;
    with the option ``model`` those of that model. The seed draws rhythm and intonation. A voice has a rate of its own,
    and phonemes last whole frames; pitch shifts the formants a little too."""

    name = "vits"
    effort = 1.0
    licence = "Apache-2.0"
    memory = 1.5e9

    def all_voices(self) -> list[Voice]:
        """Every speaker of every model."""
        self.require()
        return list(self._voices.values())

    def voice(self, name: str) -> Voice:
        """A voice by name."""
        self.require()
        if name not in self._voices:
            raise UserError(f"engine 'vits' has no voice {name!r}{did_you_mean(name, self._voices)[:200]}")
        return self._voices[name]

    def prepare(self, voices: Sequence[Voice]) -> None:
        """Fetch the models of these voices and what spells for them. Raises `UserError`."""
        for source in dict.fromkeys(str(voice.model) for voice in voices):
            _require_spelling(fetch(self.name, source))

    def to_fetch(self, voices: Sequence[Voice]) -> list[str]:
        """The models that are not here."""
        sources = dict.fromkeys(str(voice.model) for voice in voices)
        return [source for source in sources if not is_here(source)]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at the model's rate. Raises `UserError` for text of which nothing is left in the model's alphabet."""
        tokenizer, model, device = _parts(str(voice.model), device_of(self.options))
        ids = tokenizer(text, return_tensors="pt").input_ids
        if not _spelt(tokenizer, ids[0].tolist()):
            raise UserError(f"vits: voice {voice.name} ({voice.locale}) has no letter of {text[:60]!r}")
        _, _, number = voice.name.rpartition("-")
        speaker = int(number) if model.config.num_speakers > 1 else None
        with drawing(seed):
            samples = model(ids.to(device), speaker_id=speaker, speaking_rate=speed_before(rate, pitch)).waveform[0]
        return change_voice(within_range(samples.cpu().numpy()), pitch), voice.sample_rate

    @cached_property
    def _voices(self) -> dict[str, Voice]:
        models = KNOWN if self.options.model is None else {"model": self._configured(self.options.model)}
        found = {}
        for stem, model in models.items():
            names = [stem] if model.speakers == 1 else [f"{stem}-{number}" for number in range(model.speakers)]
            terms = Terms.of(self.options, model.terms)
            for name in names:
                found[name] = Voice(
                    self.name,
                    name,
                    model.language,
                    model.locale,
                    model.rate,
                    terms.licence,
                    terms.commercial_ok,
                    model=model.source,
                    options=self.given,
                )
        return found

    def _configured(self, source: str) -> Model:
        """The model of the option ``model``: a known one, or what the configuration in a directory says."""
        for model in KNOWN.values():
            if model.source == source:
                return model
        if not Path(source).is_dir():
            if re.fullmatch(r"facebook/mms-tts-[a-z-]+", source) and self.options.language:
                return Model(source, self.options.language, self.options.language, 16_000, 1, _NC)
            raise UserError(f"engine 'vits': model {source} is not known; fetch it and give its directory")
        try:
            about = json.loads((Path(source) / "config.json").read_text(encoding="utf-8"))
            if about["model_type"] != "vits":
                raise UserError(f"{source}: is a {about['model_type']!r} model; the engine vits takes VITS")
            rate, speakers = int(about["sampling_rate"]), int(about.get("num_speakers", 1))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{source}/config.json: is not a VITS model's configuration") from error
        if self.options.language is None:
            raise UserError(f"engine 'vits': say which language {source} speaks, for instance vits.language=es")
        return Model(source, self.options.language, self.options.language, rate, speakers, Terms.of(self.options, None))


def _spelt(tokenizer: Any, ids: list[int]) -> bool:
    """Whether anything but blanks is left of a text."""
    blanks = {0, tokenizer.pad_token_id, tokenizer.unk_token_id} if tokenizer.add_blank else {tokenizer.pad_token_id}
    return any(number not in blanks for number in ids)


def _require_spelling(directory: Path) -> None:
    """Raise `NotInstalled` for what the model's tokenizer turns letters into sounds with."""
    path = directory / "tokenizer_config.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch the model again") from error
    for key, package in (("phonemize", "phonemizer"), ("is_uroman", "uroman")):
        if about.get(key) and find_spec(package) is None:
            raise NotInstalled(f"{package}, which {directory.name} spells with,", "vits")


@lru_cache(maxsize=4)
def _parts(source: str, device: str) -> tuple[Any, Any, str]:
    from transformers import VitsModel, VitsTokenizer

    directory = fetch(Vits.name, source)
    _require_spelling(directory)
    tokenizer = load(VitsTokenizer.from_pretrained, directory)
    if tokenizer.phonemize:
        _point_to_espeak()
    return tokenizer, load_model(VitsModel, directory, device), device


def _point_to_espeak() -> None:
    """Let phonemizer use the packaged espeak-ng library, where the system has none."""
    if find_spec("espeakng_loader") is None:
        return
    import espeakng_loader
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    if hasattr(EspeakWrapper, "set_data_path"):
        EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
