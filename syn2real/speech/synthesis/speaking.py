"""From sentences to a synthetic corpus: FLAC files and the manifest that lists them."""

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from syn2real.errors import UserError
from syn2real.lines import read_jsonl, write_jsonl
from syn2real.sealing import flush_files
from syn2real.speech.corpus import MANIFEST, Corpus, Sentence, Utterance
from syn2real.speech.pace import Pace
from syn2real.speech.sharing import Shard, SharesLeft
from syn2real.speech.synthesis.backends import Backend, Place
from syn2real.speech.synthesis.cast import Cast
from syn2real.speech.synthesis.journal import AUDIO, JOURNAL, JOURNALS, Journal
from syn2real.speech.synthesis.judging import Clip, Judges
from syn2real.speech.synthesis.ledger import Ledger, Standing
from syn2real.speech.synthesis.outcome import Outcome
from syn2real.speech.synthesis.preparation import prepare
from syn2real.speech.synthesis.record import RECORD, record_of
from syn2real.speech.synthesis.rejection import REJECTED, Rejection, unfit
from syn2real.speech.synthesis.rendition import Rendition, another, plan
from syn2real.speech.synthesis.settings import SynthesisSettings
from syn2real.speech.synthesis.sharing import Desk
from syn2real.speech.synthesis.watch import Watch
from syn2real.speech.synthesis.wording import worded
from syn2real.speech.synthesis.workforce import Workforce

OnProblem = Literal["list", "stop"]


def synthesize(
    sentences: Sequence[Sentence],
    settings: SynthesisSettings,
    directory: Path,
    workers: int | None = None,
    *,
    on_problem: OnProblem = "list",
    judges: Judges | None = None,
    workforce: Workforce | None = None,
) -> Corpus:
    """Speak every sentence into ``directory/audio`` and write ``directory/manifest.jsonl`` when all are done.

    ``workers`` are processes (by default one a core); scripts that call this need the usual
    ``if __name__ == "__main__":``. ``workforce`` says more of them. Clips that an earlier, killed run finished are
    kept. What cannot be spoken, lasts over 30 s or is refused by ``judges`` is tried once more with another voice and
    then listed in ``directory/rejected.jsonl``; with ``on_problem="stop"`` the first such raises `UserError`.

    Raises `UserError` for ids given twice, unknown engines or voices, weights that cannot be had, a directory that
    holds speech of other settings or text, another run at work in it, an engine that has stopped speaking, and when
    nothing at all could be spoken; then there is no manifest, and what was spoken is kept for the next run.
    """
    work = Work.of(sentences, settings, on_problem, judges or Judges(), workforce or Workforce(workers))
    directory.mkdir(parents=True, exist_ok=True)
    with closing(Desk(directory, Shard(), work.record)):
        work.speak(directory, Shard())
        return work.finish(directory)


@dataclass(frozen=True)
class Work:
    """All that is to be spoken, and how."""

    settings: SynthesisSettings
    cast: Cast
    renditions: Sequence[Rendition]
    record: str
    judges: Judges
    workforce: Workforce
    on_problem: OnProblem

    @classmethod
    def of(
        cls,
        sentences: Sequence[Sentence],
        settings: SynthesisSettings,
        on_problem: OnProblem,
        judges: Judges,
        workforce: Workforce,
    ) -> "Work":
        """Plan the work. Raises `UserError` for what can be known to fail before anything is written."""
        _require_sentences(sentences)
        sentences = worded(sentences, settings.text_rule)
        if on_problem == "stop":
            for sentence in sentences:
                if (reason := unfit(sentence)) is not None:
                    raise UserError(f"sentence {sentence.id!r} ({(sentence.written or sentence.text)[:60]!r}) {reason}")
        cast = Cast.choose(settings)
        record = record_of(settings, sentences, cast, judges.stated)
        return cls(settings, cast, list(plan(sentences, settings, cast)), record, judges, workforce, on_problem)

    def speak(self, directory: Path, shard: Shard) -> None:
        """Speak and judge a share, so far as an earlier run has not.

        A run of the whole that ends in an error before its first clip leaves nothing: another text may take its place.
        """
        (directory / AUDIO).mkdir(exist_ok=True)
        try:
            self._speak(directory, shard)
        except UserError:
            if shard.whole and not any((directory / AUDIO).iterdir()):
                _clear(directory)
            raise

    def _speak(self, directory: Path, shard: Shard) -> None:
        share = shard.of(self.renditions, lambda rendition: rendition.sentence.id)
        ledger = Ledger(directory)
        with closing(_Session(self, directory, shard.tag, ledger)) as session:
            while True:
                standings = self.standings(share, ledger)
                if any(standing.due for standing in standings):
                    session.speak(standings)
                elif not session.judge(standings):
                    return

    def standings(self, renditions: Sequence[Rendition], ledger: Ledger) -> list[Standing]:
        """How far each rendition has come."""
        retry = partial(another, settings=self.settings, cast=self.cast)
        return [
            Standing(first, (), None, None) if unfit(first.sentence) else ledger.standing(first, retry)
            for first in renditions
        ]

    def require_all(self, directory: Path, shard: Shard) -> None:
        """Raise `SharesLeft` when other shares are not spoken, or spoken and not judged yet."""
        standings = self.standings(self.renditions, Ledger(directory))
        judged = self.judges.batch is not None
        left = sum(1 for standing in standings if standing.due or (judged and standing.unjudged))
        if left:
            raise SharesLeft(shard, left, len(standings), "spoken", "renditions")

    def finish(self, directory: Path) -> Corpus:
        """Write manifest and rejections, and fold the journals into one, in the order of the plan. All must be spoken.

        Raises `UserError` when there is not one clip.
        """
        ledger = Ledger(directory)
        standings = self.standings(self.renditions, ledger)
        corpus = Corpus.of(_utterance(s.take, s.clip, directory) for s in standings if s.take and s.clip)
        if not corpus.utterances:
            _clear(directory)
            raise UserError(f"nothing could be spoken: {Rejection.of(standings[0]).reason}")
        kept = {utterance.audio_filepath.name for utterance in corpus}
        for path in (directory / AUDIO).iterdir():
            if path.name not in kept:  # of an attempt that was refused, or cut short by a kill
                path.unlink()
        flush_files(path for path in ledger.unflushed if path.name in kept)
        (directory / REJECTED).unlink(missing_ok=True)
        rejected = [Rejection.of(standing).row for standing in standings if standing.take is None]
        if rejected:
            write_jsonl(directory / REJECTED, rejected)
        corpus.save(directory / MANIFEST)
        write_jsonl(directory / JOURNAL, (outcome.row for standing in standings for outcome in standing.outcomes))
        shutil.rmtree(directory / JOURNALS, ignore_errors=True)
        return corpus

    def finished(self, directory: Path) -> Corpus | None:
        """The corpus in a directory where all of this work is done, else None."""
        record, manifest = directory / RECORD, directory / MANIFEST
        if not (record.is_file() and manifest.is_file() and record.read_text(encoding="utf-8") == self.record):
            return None
        standings = self.standings(self.renditions, Ledger(directory))
        if any(standing.due for standing in standings):
            return None
        corpus = Corpus.of(_utterance(s.take, s.clip, directory) for s in standings if s.take and s.clip)
        listed = [(row.get("id"), row.get("domain")) for _, row in read_jsonl(manifest)]
        return corpus if listed == [(u.id, u.domain) for u in corpus] else None


class _Session:
    """Speaking and judging one share."""

    def __init__(self, work: Work, directory: Path, tag: str, ledger: Ledger) -> None:
        self._work = work
        self._ledger = ledger
        self._place = Place(directory, tag, work.judges.clip)
        self._journal = Journal(directory, tag)
        self._backend: Backend | None = None

    def speak(self, standings: Sequence[Standing]) -> None:
        """Speak what is due. Raises `UserError` as `synthesize` does."""
        due = [standing.due for standing in standings if standing.due]
        prepare(rendition.voice for rendition in due)
        if self._work.on_problem == "list":
            # In an order that has nothing to do with the text's: the first are then a fair sample of all.
            due.sort(key=lambda rendition: rendition.seed)
        if self._backend is None:
            self._backend = self._work.workforce.gather(self._place, due)
        watch = Watch(self._backend.repeat, (s.take for s in standings if s.take and s.clip))
        with closing(Pace("Speaking", "utterances", len(standings), len(standings) - len(due))) as pace:
            for rendition, outcome in self._backend.speak(due):
                if outcome.problem is None:
                    self._ledger.add(outcome)
                elif self._work.on_problem == "stop":
                    raise _problem(rendition, outcome.problem)
                self._note(watch.saw(rendition, outcome))
                pace.advance()
            self._note(watch.end())

    def judge(self, standings: Sequence[Standing]) -> bool:
        """Judge the clips that have no verdict yet; whether one was refused."""
        if self._work.judges.batch is None:
            return False
        clips = [
            Clip(s.take, self._place.directory / AUDIO / s.clip.file, s.clip.duration)
            for s in standings
            if s.take and s.clip and s.unjudged
        ]
        heard = [
            (take, outcome.figures)
            for s in standings
            for take, outcome in (*s.tried, *([(s.take, s.clip)] if s.take and s.clip else []))
            if outcome.figures is not None
        ]
        refused = False
        for clip, verdict in self._work.judges.batch(clips, heard) if clips else ():
            take = clip.rendition
            if verdict.reason is not None and self._work.on_problem == "stop":
                raise _problem(take, verdict.reason)
            self._note([Outcome(take.file_name, take.attempt, problem=verdict.reason, figures=verdict.figures)])
            refused |= verdict.reason is not None
        return refused

    def close(self) -> None:
        """End the workers."""
        if self._backend is not None:
            self._backend.close()
        self._journal.close()

    def _note(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._journal.add(outcome)
            self._ledger.add(outcome)


def _clear(directory: Path) -> None:
    for path in (directory / JOURNALS, directory / AUDIO):
        shutil.rmtree(path, ignore_errors=True)
    (directory / RECORD).unlink()


def _problem(rendition: Rendition, reason: str) -> UserError:
    sentence = rendition.sentence
    return UserError(f"sentence {sentence.id!r} ({sentence.text[:60]!r}) cannot be spoken: {reason}")


def _require_sentences(sentences: Sequence[Sentence]) -> None:
    if not sentences:
        raise UserError("there are no sentences to speak")
    twice = [name for name, count in Counter(sentence.id for sentence in sentences).items() if count > 1]
    if twice:
        raise UserError(f"duplicate sentence id {twice[0]!r} ({len(twice)} in all); ids must be distinct")


def _utterance(rendition: Rendition, clip: Outcome, directory: Path) -> Utterance:
    sentence, voice = rendition.sentence, rendition.voice
    spoken = " ".join(sentence.text.split())
    label = sentence.label or spoken
    return Utterance(
        id=rendition.id,
        audio_filepath=directory / AUDIO / clip.file,
        duration=clip.duration,
        text=label,
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
            **({"spoken": spoken} if spoken != label else {}),
            **({"written": sentence.written} if sentence.written not in (None, label) else {}),
            **({"attempt": rendition.attempt} if rendition.attempt else {}),
            **(clip.figures or {}),
        },
    )
