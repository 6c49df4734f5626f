"""From sentences to a synthetic corpus: FLAC files and the manifest that lists them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from syn2real.errors import AudioError, UserError
from syn2real.progress import track
from syn2real.speech import audio
from syn2real.speech.corpus import MANIFEST, Corpus, Sentence, Utterance
from syn2real.speech.engines import Voice, engine_of
from syn2real.speech.synthesis.backends import results, worker_count
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.record import RECORD, keep_record
from syn2real.speech.synthesis.rendition import Rendition, plan
from syn2real.speech.synthesis.settings import SynthesisSettings


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
    keep_record(directory / RECORD, settings, sentences, cast)
    waiting = [rendition for rendition in renditions if not _is_complete(folder / rendition.file_name)]
    prepare(rendition.voice for rendition in waiting)
    count = worker_count(workers, waiting)
    for problem in track(results(waiting, folder, count), "Speaking", total=len(waiting)):
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


def _is_complete(path: Path) -> bool:
    """Whether an earlier run finished this clip: files appear by an atomic rename, so a readable header will do."""
    try:
        header = audio.info(path)
    except AudioError:
        return False
    return (header.rate, header.channels) == (audio.SAMPLE_RATE, 1)


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
