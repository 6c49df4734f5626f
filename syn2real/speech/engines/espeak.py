"""espeak-ng: formant synthesis in a hundred languages, each accent spoken by some seventy voice variants.

The shared library of PyPI's espeakng-loader is called directly; where that package is absent, Debian's ``espeak-ng``
program is run. espeak-ng keeps state from one sentence to the next (its noise generator, flutter, echo and gain),
so that what it says depends on what it said before. Each sentence is therefore spoken by a freshly loaded library,
which costs about 3 ms.
"""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cached_property
from importlib.util import find_spec
from math import log2
from pathlib import Path
from typing import Any, Literal

import numpy as np

from syn2real.errors import NotInstalled, UserError, did_you_mean
from syn2real.speech.engines.base import ENGINES, Engine, Voice, from_pcm
from syn2real.speech.engines.wave_output import wave_of

SAMPLE_RATE = 22_050  # Hz
WORDS_PER_MINUTE = 175  # espeak-ng's normal rate
LICENCE = "GPL-3.0-or-later (the engine; its output is free)"

# Variants of `voices/!v` kept. Left out by their names or settings, as effects rather than people: whispers, croaks,
# robots (robosoft*, UniRobot, anikaRobot, Demonic, Tweaky, Storm), AnxiousAndy, announcer, fast, RicishayMax*, klatt4
# to 6, "Mr serious". Left out by measurement: Andy, Marco, anika, iven4, kaukovalta, marcelo and zac, whose two Spanish
# sentences Whisper base transcribed at a WER of 1 or more (the plain voice: .56 and .75).
_FEMALE = "f1 f2 f3 f4 f5 Alicia Andrea Annie aunty belinda grandma linda steph steph2 steph3"
_MALE = (
    "m1 m2 m3 m4 m5 m6 m7 m8 Alex Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Mario Michael Mike Nguyen "
    "Reed adam antonio benjamin boris caleb david ed edward edward2 grandpa gustave ian iven iven2 iven3 john "
    "klatt klatt2 klatt3 max michel miguel mike2 norbert pablo paul pedro quincy rob robert sandro "
    "shelby travis victor"
)
_GENDERS: dict[str, Literal["female", "male"]] = {"": "male"}  # of each variant; "" is the accent's own voice
_GENDERS.update((name, "male") for name in _MALE.split())
_GENDERS.update((name, "female") for name in _FEMALE.split())

# ISO 639-1 codes for which espeak-ng files its voices under another code.
_ALIASES = {"cmn": "zh", "nb": "no", "yue": "zh"}
# Accents that read another script than the language's own, or respell it.
_OTHER_SCRIPTS = re.compile(r"shaw|latn|pinyin|jyutping|cyrl|-cl$", re.IGNORECASE)

# The few constants of espeak-ng's speak_lib.h that are needed.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@ENGINES.register("espeak")
class Espeak(Engine):
    """espeak-ng through its shared library, or else its program. Voices are named ``es-419+f2``."""

    name = "espeak"
    licence = LICENCE
    packages = ("espeakng-loader",)
    effort = 0.01

    def require(self) -> None:
        """Raise `NotInstalled` when neither the library nor the program is here."""
        if find_spec("espeakng_loader") is None and shutil.which("espeak-ng") is None:
            raise NotInstalled("espeak-ng (espeakng-loader)", "espeak")

    def all_voices(self) -> list[Voice]:
        """Every accent times every variant that sounds like a person."""
        return self._voices

    def voice(self, name: str) -> Voice:
        """The voice called ``name``; with thousands of them, the accent and the variant are looked up apart."""
        found = {voice.name: voice for voice in self._voices}
        if name in found:
            return found[name]
        accent, _, variant = name.partition("+")
        if accent not in found:
            close = did_you_mean(accent, {name.partition("+")[0] for name in found})
            raise UserError(f"engine 'espeak' has no voice {accent!r}{close if len(close) < 80 else ''}")
        raise UserError(f"engine 'espeak' has no variant {variant!r}{did_you_mean(variant, self._variants)}")

    def say(self, text: str, voice: Voice, rate: float, pitch: float, seed: int) -> tuple[np.ndarray, int]:
        """Samples at 22,050 Hz. The seed also moves the range of the intonation by up to 40 % (not in the program)."""
        speed = round(WORDS_PER_MINUTE * rate)
        height = _pitch_setting(pitch)
        if self._library is not None:
            span = 30 + seed % 41  # the intonation's range; 50 is normal
            samples, hertz = _speak_library(self._library, self._data, text, voice.name, speed, height, span, seed)
        else:
            options = ["-v", voice.name, "-s", str(speed), "-p", str(height)]
            samples, hertz = wave_of(["espeak-ng", *options, "-b", "1", "--stdin", "--stdout"], text)
        return samples, hertz

    @cached_property
    def _library(self) -> Path | None:
        """The shared library of espeakng-loader, if installed."""
        if find_spec("espeakng_loader") is None:
            return None
        import espeakng_loader

        return Path(espeakng_loader.get_library_path())

    @cached_property
    def _data(self) -> Path:
        """The folder of dictionaries and voice files."""
        self.require()
        if self._library is not None:
            import espeakng_loader

            return Path(espeakng_loader.get_data_path())
        said = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
        return Path(said.partition("Data at:")[2].strip())

    @cached_property
    def _variants(self) -> list[str]:
        folder = self._data / "voices" / "!v"
        return [variant for variant in _GENDERS if variant and (folder / variant).is_file()]

    @cached_property
    def _voices(self) -> list[Voice]:
        return [
            Voice(
                engine=self.name,
                name=f"{accent}+{variant}" if variant else accent,
                language=_base_language(accent),
                locale=locale,
                sample_rate=SAMPLE_RATE,
                licence=LICENCE,
                commercial_ok=True,
                gender=_GENDERS[variant],
            )
            for accent, locale in _accents(self._data)
            for variant in ["", *self._variants]
        ]


def _accents(data: Path) -> list[tuple[str, str]]:
    """(file name, locale) of every accent that reads ordinary text and has its dictionary.

    A voice is asked for by file name, which always works; the locale is what the file declares (`fr` says ``fr-fr``).
    """
    found = []
    for path in (data / "lang").rglob("*"):
        base = path.name.partition("-")[0]
        if not path.is_file() or len(base) > 3 or not (data / f"{base}_dict").is_file():
            continue  # ISO 639 codes have two or three letters; the few longer ones are invented languages
        declared = re.search(r"^language\s+(\S+)", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if declared is not None and not _OTHER_SCRIPTS.search(path.name):
            locale = re.sub(r"-([a-z]{2})(?=-|$)", lambda region: region[0].upper(), declared[1])
            found.append((path.name, locale))
    return sorted(found)


def _base_language(accent: str) -> str:
    base = accent.partition("-")[0]
    return _ALIASES.get(base, base)


def _pitch_setting(pitch: float) -> int:
    """espeak-ng's pitch setting (0 to 99, 50 normal) that multiplies the fundamental by ``pitch``.

    The slopes were measured on three voices (setting 20 gives .79, 80 gives 1.34); within 2 % between 20 and 80.
    """
    octaves = log2(pitch)
    return min(99, max(0, round(50 + octaves * (71 if octaves > 0 else 87))))


def _speak_library(
    library: Path, data: Path, text: str, voice: str, speed: int, pitch: int, span: int, seed: int
) -> tuple[np.ndarray, int]:
    """Load the library, speak, unload it: nothing survives into the next sentence."""
    chunks: list[np.ndarray] = []

    def collect(pcm: Any, count: int, _events: Any) -> int:
        if pcm and count > 0:
            chunks.append(np.ctypeslib.as_array(pcm, (count,)).copy())
        return 0

    callback = _CALLBACK(collect)  # kept in a variable: ctypes does not keep it alive
    # The variants of "klatt 6" take their breath from the C library's generator, which outlives espeak-ng.
    ctypes.CDLL(None if sys.platform != "win32" else "msvcrt").srand(ctypes.c_uint(seed % 2**31))
    with _FreshLibrary(library) as espeak:
        rate = espeak.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(data), _INITIALIZE_DONT_EXIT)
        if rate <= 0:
            raise UserError(f"espeak: cannot read its data in {data}; reinstall espeakng-loader")
        espeak.espeak_SetSynthCallback(callback)
        espeak.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))
        if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak: has no voice {voice!r}")
        for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_RANGE, span)):
            espeak.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode() + b"\0"
        espeak.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, _CHARS_UTF8, None, None)
        espeak.espeak_Synchronize()
        espeak.espeak_Terminate()
    return from_pcm(np.concatenate(chunks) if chunks else np.zeros(0, np.int16)), rate


class _FreshLibrary:
    """The library in its initial state. Where other code holds it loaded already, a private copy is loaded instead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._copy: str | None = None

    def __enter__(self) -> ctypes.CDLL:
        path = str(self._path)
        if _is_loaded(path):
            descriptor, self._copy = tempfile.mkstemp(suffix=self._path.suffix)
            os.close(descriptor)
            shutil.copyfile(path, self._copy)
            path = self._copy
        self._loaded = ctypes.CDLL(path)
        return self._loaded

    def __exit__(self, *_: object) -> None:
        import _ctypes

        unload = getattr(_ctypes, "FreeLibrary" if sys.platform == "win32" else "dlclose")
        unload(self._loaded._handle)
        if self._copy is not None:
            Path(self._copy).unlink(missing_ok=True)


def _is_loaded(path: str) -> bool:
    if sys.platform == "win32":
        return False
    import _ctypes

    try:
        handle = _ctypes.dlopen(path, os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return False
    _ctypes.dlclose(handle)
    return True
