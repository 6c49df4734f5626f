"""From sentences to a synthetic corpus: who speaks each of them, how, and the FLAC files and manifest that result.

What is drawn for a rendition depends on the seed, the sentence's id and the rendition's number only, so that any
subset of the sentences, in any order and on any number of workers, gives the same files.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from syn2real.errors import AudioError, UserError
from syn2real.hashing import seed_from, sha256_json
from syn2real.progress import track
from syn2real.sealing import write_text
from syn2real.speech import audio
from syn2real.speech.corpus import MANIFEST, Corpus, Sentence, Utterance
from syn2real.speech.engines import Options, Voice, engine, engine_of, find_voice

RECORD = "synthesis.json"  # settings, text and versions, beside the manifest
MARGIN = (0.10, 0.20)  # s of silence before and after the speech
FRAME = 0.01  # s over which loudness is measured when looking for where speech starts and ends
QUIET = 0.01  # of the loudest frame (-40 dB): frames below are silence
SHORTEST = 0.05  # s of speech that a clip must hold
POOL_FROM = 24  # renditions for which starting worker processes (about 1 s) pays


@dataclass(frozen=True)
class SynthesisSettings:
    """Who speaks, and how varied.

    ``engines`` are names, or names with weights; an engine is drawn by weight, then one of its voices of the language
    uniformly. ``voices`` (``engine:voice``) restricts the choice to these. ``options`` are the engines' own, by engine
    (a model's directory, a server's address). ``rate_range`` and ``pitch_range`` are factors. ``level_range`` is the
    RMS of a clip in dBFS: engines differ by 15 dB, by which a model could tell them apart, and each is constant, as
    microphones in rooms are not; so every clip's level is drawn anew.
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

    def __post_init__(self) -> None:
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
    def weights(self) -> dict[str, float]:
        """Weight of each engine, in the order given."""
        if isinstance(self.engines, Mapping):
            return dict(self.engines)
        return dict.fromkeys([self.engines] if isinstance(self.engines, str) else self.engines, 1.0)


@dataclass(frozen=True)
class Cast:
    """The voices to draw from, by engine, with the engines' weights."""

    weights: dict[str, float]
    voices: dict[str, tuple[Voice, ...]]

    @classmethod
    def choose(cls, settings: SynthesisSettings) -> "Cast":
        """The voices that fit the settings. Raises `UserError` for an engine or voice unknown or unfit."""
        if settings.voices:
            named = [find_voice(name, settings.options) for name in dict.fromkeys(settings.voices)]
            for voice in named:
                if voice.language != settings.language:
                    raise UserError(f"voice {voice.id} speaks {voice.language!r}, not {settings.language!r}")
            engines = dict.fromkeys(voice.engine for voice in named)
            candidates = {name: [voice for voice in named if voice.engine == name] for name in engines}
        else:
            candidates = {
                name: engine(name, settings.options.get(name)).voices(settings.language) for name in settings.weights
            }
        for name, voices in candidates.items():
            if not voices:
                raise UserError(f"engine {name!r} has no voice for {settings.language!r}; see `syn2real voices`")
            if settings.commercial_only and not any(voice.commercial_ok for voice in voices):
                licences = ", ".join(sorted({voice.licence for voice in voices}))
                raise UserError(f"engine {name!r} has no voice free for commercial use (licences: {licences})")
        free = {
            name: tuple(v for v in voices if v.commercial_ok or not settings.commercial_only)
            for name, voices in candidates.items()
        }
        return cls({name: settings.weights.get(name, 1.0) for name in free}, free)

    def draw(self, random: Random, used: set[str]) -> Voice:
        """A voice not in ``used``: an engine by weight among those with voices left, then a voice uniformly."""
        left = {name: [v for v in voices if v.id not in used] for name, voices in self.voices.items()}
        left = {name: voices for name, voices in left.items() if voices}
        if not left:
            return self.draw(random, set())
        point = random.random() * sum(self.weights[name] for name in left)
        for name in left:
            point -= self.weights[name]
            if point < 0:
                break
        return left[name][int(random.random() * len(left[name]))]


@dataclass(frozen=True)
class Rendition:
    """One sentence as one voice is to speak it."""

    sentence: Sentence
    number: int
    voice: Voice
    rate: float
    pitch: float
    level: float  # dBFS RMS
    margins: tuple[float, float]  # s of silence before and after
    seed: int

    @property
    def id(self) -> str:
        """The utterance's id."""
        return f"{self.sentence.id}-r{self.number}"

    @property
    def file_name(self) -> str:
        """A name safe on every file system; ids that are not, or differ in case only, get a hash to stay distinct."""
        name = self.sentence.id
        safe = re.sub(r"[^a-z0-9._-]+", "_", name.lower()).lstrip(".")[:80]
        return f"{safe if safe == name else f'{safe}-{sha256_json(name)[:10]}'}-r{self.number}.flac"


def plan(sentences: Iterable[Sentence], settings: SynthesisSettings, cast: Cast) -> Iterator[Rendition]:
    """Everything that is drawn, for each sentence and rendition in turn."""
    for sentence in sentences:
        used: set[str] = set()
        for number in range(settings.renditions):
            seed = seed_from(settings.seed, sentence.id, number)
            random = Random(seed)
            voice = cast.draw(random, used)
            if settings.distinct:
                used = set() if voice.id in used else used
                used.add(voice.id)
            yield Rendition(
                sentence=sentence,
                number=number,
                voice=voice,
                rate=round(random.uniform(*settings.rate_range), 3),
                pitch=round(random.uniform(*settings.pitch_range), 3),
                level=round(random.uniform(*settings.level_range), 1),
                margins=(random.uniform(*MARGIN), random.uniform(*MARGIN)),
                seed=seed,
            )


def render(rendition: Rendition) -> np.ndarray:
    """The finished clip: float32 at 16 kHz. Raises `UserError` for text the voice cannot speak or that is too long."""
    voice = rendition.voice
    text = rendition.sentence.text
    samples, rate = engine_of(voice).speak(text, voice, rendition.rate, rendition.pitch, rendition.seed)
    speech = trim(audio.resample(samples, rate))
    seconds = speech.size / audio.SAMPLE_RATE
    if seconds < SHORTEST:
        raise UserError(f"{voice.id} gave {seconds:.2f} s of speech")
    before, after = (np.zeros(round(margin * audio.SAMPLE_RATE), np.float32) for margin in rendition.margins)
    if seconds + sum(rendition.margins) > audio.WINDOW:
        raise UserError(f"{voice.id} needs {seconds:.0f} s of at most {audio.WINDOW:.0f} s; split the sentence")
    return np.concatenate([before, set_level(speech, rendition.level), after])


def trim(samples: np.ndarray) -> np.ndarray:
    """16 kHz samples from the first to the last frame that is not silence, so that all engines' margins are alike.

    A frame of 10 ms is silence when its RMS is 40 dB under the loudest frame's.
    """
    length = round(FRAME * audio.SAMPLE_RATE)
    frames = samples[: samples.size // length * length].reshape(-1, length).astype(np.float64)
    if frames.size == 0:
        return samples[:0]
    loudness = np.sqrt((frames**2).mean(axis=1))
    heard = np.flatnonzero(loudness > QUIET * loudness.max())
    if heard.size == 0:
        return samples[:0]
    # One frame more on either side, so that no onset or decay is cut.
    return samples[max(0, heard[0] - 1) * length : (heard[-1] + 2) * length]


def set_level(samples: np.ndarray, level: float) -> np.ndarray:
    """Samples scaled to an RMS of ``level`` dBFS, or less where the peak would pass -0.5 dBFS."""
    wide = samples.astype(np.float64)
    rms, peak = float(np.sqrt((wide**2).mean())), float(np.abs(wide).max())
    return (wide * min(10 ** (level / 20) / rms, 10 ** (-0.5 / 20) / peak)).astype(np.float32)


def synthesize(
    sentences: Sequence[Sentence], settings: SynthesisSettings, directory: Path, workers: int | None = None
) -> Corpus:
    """Speak every sentence into ``directory/audio`` and write ``directory/manifest.jsonl`` when all are done.

    ``workers`` are processes (by default one a core); scripts that call this need the usual
    ``if __name__ == "__main__":``. Clips that an earlier, killed run finished are kept. Raises `UserError` for
    sentences without text, ids given twice, unknown engines or voices, weights that cannot be had, a directory that
    holds speech of other settings or text, and a sentence that cannot be spoken or lasts over 30 s; then there is no
    manifest.
    """
    _require_sentences(sentences)
    cast = Cast.choose(settings)
    renditions = list(plan(sentences, settings, cast))
    folder = directory / "audio"
    folder.mkdir(parents=True, exist_ok=True)
    _keep_record(directory / RECORD, settings, sentences, cast)
    waiting = [rendition for rendition in renditions if not _is_complete(folder / rendition.file_name)]
    prepare(rendition.voice for rendition in waiting)
    count = _worker_count(workers, waiting)
    for problem in track(_results(waiting, folder, count), "Speaking", total=len(waiting)):
        if problem is not None:
            raise UserError(problem)
    corpus = Corpus.of(_utterance(rendition, folder / rendition.file_name) for rendition in renditions)
    corpus.save(directory / MANIFEST)
    return corpus


def prepare(voices: Iterable[Voice]) -> None:
    """Bring what these voices need onto this machine, such as weights. Raises `UserError` when it cannot be had."""
    groups: dict[tuple[str, tuple[Any, ...]], list[Voice]] = {}
    for voice in dict.fromkeys(voices):
        groups.setdefault((voice.engine, voice.options), []).append(voice)
    for group in groups.values():
        engine_of(group[0]).prepare(group)


def _require_sentences(sentences: Sequence[Sentence]) -> None:
    if not sentences:
        raise UserError("there are no sentences to speak")
    for sentence in sentences:
        if not sentence.text.strip():
            raise UserError(f"sentence {sentence.id!r} has no text; write it or drop the sentence")
    twice = [name for name, count in Counter(sentence.id for sentence in sentences).items() if count > 1]
    if twice:
        raise UserError(f"duplicate sentence id {twice[0]!r} ({len(twice)} in all); ids must be distinct")


def _results(waiting: list[Rendition], folder: Path, workers: int) -> Iterator[str | None]:
    """Make each clip, in order; for each, None or what was wrong."""
    if workers == 1:
        yield from (_make(rendition, folder) for rendition in waiting)
        return
    import multiprocessing

    # Spawned, not forked: the caller may hold torch's threads and a live progress bar, whose locks a fork would copy.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield from pool.map(partial(_make, folder=folder), waiting, chunksize=max(1, min(16, len(waiting) // workers)))
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died while speaking; run with 1 worker to see on which text. (A script that starts "
            "workers needs `if __name__ == '__main__':` around its calls.)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _make(rendition: Rendition, folder: Path) -> str | None:
    """Speak one rendition into its file; None, or what was wrong."""
    try:
        samples = render(rendition)
    except UserError as error:
        sentence = rendition.sentence
        return f"sentence {sentence.id!r} ({sentence.text[:60]!r}) cannot be spoken: {error}"
    audio.write_flac(folder / rendition.file_name, samples)
    return None


def _end_with_parent() -> None:
    """Leave no orphan: a worker whose parent was killed would wait for work for ever."""
    import multiprocessing
    from multiprocessing.connection import wait
    from threading import Thread

    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _worker_count(workers: int | None, waiting: Sequence[Rendition]) -> int:
    if workers is not None:
        if workers < 1:
            raise UserError(f"workers must be 1 or more, not {workers}")
        return min(workers, max(1, len(waiting)))
    if len(waiting) < POOL_FROM:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    engines = {(r.voice.engine, r.voice.options): r.voice for r in waiting}.values()
    room = [engine_of(voice).most_processes() for voice in engines]
    return min([cores, len(waiting), *(most for most in room if most is not None)])


def _is_complete(path: Path) -> bool:
    """Whether an earlier run finished this clip: files appear by an atomic rename, so a readable header will do."""
    try:
        header = audio.info(path)
    except AudioError:
        return False
    return (header.rate, header.channels) == (audio.SAMPLE_RATE, 1)


def _keep_record(path: Path, settings: SynthesisSettings, sentences: Sequence[Sentence], cast: Cast) -> None:
    """Write what the clips depend on, or check that an unfinished run in this directory had the same."""
    used = {voice.engine: voice for voices in cast.voices.values() for voice in voices}
    packages = {package for voice in used.values() for package in engine_of(voice).packages}
    # A list, for the order of the engines decides the draws.
    stated = asdict(settings) | {"engines": list(settings.weights.items())}
    if not settings.options:
        stated.pop("options")
    record = {
        "settings": stated,
        "sentences": sha256_json(sorted([s.id, s.text] for s in sentences)),
        "voices": sha256_json(sorted(v.id for voices in cast.voices.values() for v in voices)),
        "licences": sorted({v.licence for voices in cast.voices.values() for v in voices}),
        "versions": {name: _version(name) for name in sorted({"soxr", "soundfile", *packages})},
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if not path.is_file():
        write_text(path, text)
    elif path.read_text(encoding="utf-8") != text:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = ", ".join(sorted(name for name in record if before.get(name) != json.loads(text)[name]))
        raise UserError(
            f"{path.parent}: holds speech made with other {changed}; remove it or choose another output directory"
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _utterance(rendition: Rendition, path: Path) -> Utterance:
    sentence, voice = rendition.sentence, rendition.voice
    return Utterance(
        id=rendition.id,
        audio_filepath=path,
        duration=round(audio.info(path).duration, 4),
        text=" ".join(sentence.text.split()),
        domain=sentence.domain,
        speaker=voice.id,
        source="synthetic",
        engine=voice.engine,
        voice=voice.name,
        seed=rendition.seed,
        licence=voice.licence,
        language=voice.language,
        extra={
            "rate": rendition.rate,
            "pitch": rendition.pitch,
            "sentence_id": sentence.id,
            "rendition": rendition.number,
        },
    )
