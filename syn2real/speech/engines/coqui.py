"""Coqui TTS, by its maintained fork: VITS of VCTK's speakers, XTTS that clones a voice from a recording, or a model of
the user's own."""

import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from syn2real.errors import NotInstalled, UserError, did_you_mean, one_line
from syn2real.speech.engines.base import ENGINES, Voice, within_range
from syn2real.speech.engines.pretrained import (
    UNKNOWN_LICENCE,
    ModelOptions,
    PretrainedEngine,
    Terms,
    device_of,
    drawing,
)
from syn2real.speech.engines.prompts import Prompt, read_prompts
from syn2real.speech.engines.resampling import change_voice, speed_before
from syn2real.speech.engines.xvectors import EVERY

SAMPLE_RATE = 22_050  # Hz, of VCTK's model; what is spoken says its own
CPML = "CPML (Coqui Public Model License, not for commercial use)"
# By the short name that the option `model` takes: Coqui's name, what its licence allows, languages.
KNOWN: dict[str, tuple[str, Terms, tuple[str, ...]]] = {
    "vctk": ("tts_models/en/vctk/vits", Terms("Apache-2.0", True), ("en",)),
    "xtts": (
        "tts_models/multilingual/multi-dataset/xtts_v2",
        Terms(CPML, False),
        ("ar", "cs", "de", "en", "es", "fr", "hi", "hu", "it", "ja", "ko", "nl", "pl", "pt", "ru", "tr", "zh"),
    ),
}


class CoquiOptions(ModelOptions):
    """``model`` is ``vctk``, ``xtts``, or a folder with ``config.json`` and one ``.pth`` of weights."""

    speakers: str | None = None  # recordings to clone (XTTS): a folder, one voice each, or a manifest, one a speaker
    agree_cpml: bool = False  # that you have read XTTS's licence and agree to it


@ENGINES.register("coqui")
class Coqui(PretrainedEngine):
    """coqui-tts. The voice ``random`` takes a speaker of the model drawn by the seed; any speaker can be named. With
    the option ``speakers`` the voices are recordings, cloned; their licence goes with what they say."""

    name = "coqui"
    licence = "MPL-2.0"
    packages = ("torch", "coqui-tts")
    effort = 2.0
    memory = 4e9
    options: CoquiOptions = CoquiOptions()

    def require(self) -> None:
        """Raise `NotInstalled` without coqui-tts; `UserError` for a folder that is none, and for XTTS until its licence
        is agreed to."""
        if find_spec("TTS") is None:
            raise NotInstalled("coqui-tts", "coqui")
        if self._model not in KNOWN and not (Path(self._model) / "config.json").is_file():
            raise UserError(
                f"engine 'coqui': model {self._model}: no folder with a config.json{did_you_mean(self._model, KNOWN)}"
            )
        if self._model == "xtts" and not self.options.agree_cpml:
            raise UserError(
                f"engine 'coqui': XTTS and what it says are under the {CPML}; read it at https://coqui.ai/cpml and, if "
                "you agree, say coqui.agree_cpml=true"
            )
        if self.options.speakers is not None:
            try:
                _ = self._prompts
            except UserError as error:
                raise UserError(f"engine 'coqui': speakers {error}") from error

    def all_voices(self) -> list[Voice]:
        """`random`, or the recordings to clone; in each language of the model that options leave open."""
        self.require()
        return [self._voice(name, language) for name in self._prompts or [EVERY] for language in self._languages]

    def voice(self, name: str) -> Voice:
        """`random`, a recording's name, or a speaker of the model, which is looked for when speaking starts; with
        ``@es`` at its end, in that language."""
        self.require()
        speaker, _, language = name.partition("@")
        if self._prompts and speaker not in self._prompts:
            raise UserError(f"engine 'coqui' has no voice {speaker!r}{did_you_mean(speaker, self._prompts)[:200]}")
        if language and language not in self._languages:
            raise UserError(f"engine 'coqui': {self._model} does not speak {language!r}")
        return self._voice(speaker, language or self._languages[0])

    def prepare(self, voices: Sequence[Voice]) -> None:
        """Fetch the model. Raises `UserError` when it cannot be had."""
        _ = self._files

    def to_fetch(self, voices: Sequence[Voice]) -> list[str]:
        """Coqui's name of the model, unless it is here."""
        if self._model not in KNOWN:
            return []
        from trainer.io import get_user_data_dir

        name = KNOWN[self._model][0]
        return [] if (Path(get_user_data_dir("tts")) / name.replace("/", "--")).is_dir() else [name]

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at the model's rate; pitch shifts the formants a little too."""
        model = self._loaded
        speaker = voice.name.partition("@")[0]
        options: dict[str, Any] = {}
        if speaker in self._prompts:
            options["speaker_wav"] = str(self._prompts[speaker].path)
        else:
            options["speaker_name"] = self._speaker(speaker, seed)
        speed = speed_before(rate, pitch)
        if len(self._languages) > 1 or self._model == "xtts":
            options |= {"language_name": "zh-cn" if voice.language == "zh" else voice.language, "speed": speed}
        elif hasattr(model.tts_model, "length_scale"):
            model.tts_model.length_scale = 1 / speed
        with drawing(seed), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123 - not a file
            samples = np.asarray(model.tts(text, **options), np.float32)
        return change_voice(within_range(samples), pitch), int(model.output_sample_rate)

    def _voice(self, name: str, language: str) -> Voice:
        known = KNOWN.get(self._model)
        terms = Terms.of(self.options, known[1] if known else None)
        full = name if len(self._languages) == 1 else f"{name}@{language}"
        rights = (terms.licence, terms.commercial_ok)
        if name in self._prompts:
            cloned = self._prompts[name].licence or UNKNOWN_LICENCE
            # Whoever is cloned has a say: free only where it is said to be, for the model and the recordings.
            rights = (f"{terms.licence}; recording {cloned}", bool(self.options.commercial))
        return Voice(self.name, full, language, language, SAMPLE_RATE, *rights, options=self.given)

    def _speaker(self, name: str, seed: int) -> str | None:
        """The speaker of that name, or one by the seed; None for a model of one."""
        manager = getattr(self._loaded.tts_model, "speaker_manager", None)
        speakers = sorted(getattr(manager, "speakers", None) or getattr(manager, "name_to_id", None) or {})
        if name == EVERY:
            return Random(seed).choice(speakers) if speakers else None
        if name not in speakers:
            raise UserError(
                f"engine 'coqui': {self._model} has no speaker {name!r}{did_you_mean(name, speakers)[:200]}"
            )
        return name

    @property
    def _model(self) -> str:
        return self.options.model or "vctk"

    @property
    def _languages(self) -> tuple[str, ...]:
        if self.options.language is not None:
            return (self.options.language,)
        return KNOWN[self._model][2] if self._model in KNOWN else ("en",)

    @cached_property
    def _prompts(self) -> dict[str, Prompt]:
        """The recordings to clone, by voice."""
        return read_prompts(Path(self.options.speakers)) if self.options.speakers is not None else {}

    @cached_property
    def _files(self) -> tuple[Path, Path]:
        """Weights (of XTTS, their folder) and configuration."""
        if self._model in KNOWN:
            return self._fetched(KNOWN[self._model][0])
        folder = Path(self._model)
        weights = [path for path in sorted(folder.glob("*.pth")) if not path.name.startswith("speakers")]
        if len(weights) != 1:
            raise UserError(
                f"engine 'coqui': {folder} holds {len(weights)} files of weights (.pth) where one is needed"
            )
        return weights[0], folder / "config.json"

    def _fetched(self, name: str) -> tuple[Path, Path]:
        if self._model == "xtts":
            os.environ["COQUI_TOS_AGREED"] = "1"  # `require` saw to it
        try:
            from TTS.utils.manage import ModelManager

            place, config, _ = ModelManager(progress_bar=False).download_model(name)
        except Exception as error:  # of a missing library, the system, or an HTTP library
            reason = one_line(error)
            raise UserError(
                f"engine 'coqui': {name} cannot be had ({reason}); or give a folder: coqui.model"
            ) from error
        return Path(place), Path(config) if config else Path(place) / "config.json"

    @cached_property
    def _loaded(self) -> Any:
        weights, config = self._files
        try:
            from TTS.utils.synthesizer import Synthesizer

            loaded = Synthesizer(tts_checkpoint=weights, tts_config_path=config)
        except (
            Exception
        ) as error:  # of torch, json, and coqui-tts itself, which also fails to import beside some torches
            reason = one_line(error)
            raise UserError(f"engine 'coqui': {weights} cannot be loaded ({reason}); see `syn2real doctor`") from error
        return loaded.to(device_of(self.options))
